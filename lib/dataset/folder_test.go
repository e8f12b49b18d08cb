package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/image/bmp"

	"example.org/convbook/lib/dataset/internal/origin/origintest"
	"example.org/convbook/lib/picture"
)

// small4 is the frame of the tests' pictures.
var small4 = picture.Frame{Height: 4, Width: 4, Channels: 3}

// painting is the bytes of a picture of 4 × 4 of which no two are the same.
func painting(name string) (pixels []byte) {
	for i := range 4 * 4 * 3 {
		pixels = append(pixels, byte(len(name)*31+int(name[len(name)-5])*7+int(name[0])*3+i*5))
	}
	return pixels
}

// pngOf is a file of that picture.
func pngOf(name string) string {
	img, pixels := image.NewRGBA(image.Rect(0, 0, 4, 4)), painting(name)
	for p := range 16 {
		img.SetRGBA(p%4, p/4, color.RGBA{pixels[3*p], pixels[3*p+1], pixels[3*p+2], 255})
	}
	return encoded(img)
}

// paint writes pictures into a folder, and the folders that they are in.
func paint(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		origintest.Put(t, filepath.Join(dir, filepath.Dir(name)), filepath.Base(name), pngOf(name))
	}
}

// tenPictures are five of each of two classes. The eight bytes with which the SHA-256 of cat/3.png and dog/1.png begins
// are divisible by five, and these are the orders of all such numbers, by `printf cat/3.png | sha256sum`.
var (
	tenPictures = strings.Fields("cat/1.png cat/2.png cat/3.png cat/4.png cat/5.png dog/1.png dog/2.png dog/3.png dog/4.png dog/5.png")
	tenForTest  = strings.Fields("cat/3.png dog/1.png")
	tenToLearn  = strings.Fields("dog/5.png cat/5.png dog/4.png cat/1.png cat/2.png dog/2.png cat/4.png dog/3.png")
)

// names are those of a split's files.
func names(s *Split) (names []string) {
	for i := range s.Len() {
		names = append(names, s.Name(i))
	}
	return names
}

// wantFolder compares the splits of a folder with the pictures that were painted.
func wantFolder(t *testing.T, d Images, training, testing []string) {
	t.Helper()
	for _, split := range []struct {
		open func() (*Split, error)
		want []string
	}{{d.Train, training}, {d.Test, testing}} {
		s, err := split.open()
		if err != nil {
			t.Fatal(err)
		}
		if got := names(s); !slices.Equal(got, split.want) {
			t.Errorf("the pictures are %q, want %q", got, split.want)
			continue
		}
		for i, name := range split.want {
			if !bytes.Equal(s.picture(i), painting(name)) {
				t.Errorf("the pixels of %s are not those of its file", name)
			}
			if !strings.HasPrefix(name, s.Label(i)+"/") && !strings.Contains(name, "/"+s.Label(i)+"/") {
				t.Errorf("%s is of the class %s", name, s.Label(i))
			}
		}
	}
}

func TestFolder(t *testing.T) {
	_, log := origintest.Isolate(t)
	dir := filepath.Join(t.TempDir(), "my pets")
	paint(t, dir, tenPictures...)
	d := Folder(dir, small4)
	if d.Name != "my pets" || !slices.Equal(d.Classes, []string{"cat", "dog"}) || d.Published() {
		t.Errorf("%s with classes %q, published: %v", d.Name, d.Classes, d.Published())
	}
	wantFolder(t, d, tenToLearn, tenForTest)
	want := "my pets: decoding [....................] 0 of 10\nmy pets: decoding [####################] 10 of 10\n"
	if log.String() != want {
		t.Errorf("it said %q, want %q", log, want)
	}
	log.Reset()
	wantFolder(t, Folder(dir, small4), tenToLearn, tenForTest)
	if log.Len() > 0 {
		t.Errorf("opened again it said %q", log)
	}

	// A picture stays where it is when others come.
	paint(t, dir, "cat/6.png", "dog/6.png", "cat/more/7.png")
	for _, open := range []func() (*Split, error){Folder(dir, small4).Train, Folder(dir, small4).Test} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		before := slices.DeleteFunc(names(s), func(name string) bool { return !slices.Contains(tenPictures, name) })
		if !slices.Equal(before, tenToLearn) && !slices.Equal(before, tenForTest) {
			t.Errorf("after others came these are %q", before)
		}
	}

	few := Folder(dir, small4).First(5).Validate(2)
	train, err := few.Train()
	if err != nil {
		t.Fatal(err)
	}
	validation, err := few.Validation()
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 3 || validation.Len() != 2 || train.Sum() == validation.Sum() {
		t.Errorf("%d to learn from and %d for validation", train.Len(), validation.Len())
	}
}

// Pictures keep their names when only some classes are used, or some pictures of each.
func TestFolderWithoutSomeClasses(t *testing.T) {
	origintest.Isolate(t)
	dir := t.TempDir()
	paint(t, dir, append(strings.Fields("emu/1.png emu/2.png emu/3.png"), tenPictures...)...)
	d := Folder(dir, small4)
	wantFolder(t, d.Only("dog", "cat"), tenToLearn, tenForTest)
	some, err := d.Only("dog").PerClass(2, 1).Train()
	if err != nil {
		t.Fatal(err)
	}
	if some.Len() != 2 || !bytes.Equal(some.picture(0), painting(some.Name(0))) || some.Label(0) != "dog" {
		t.Errorf("the pictures are %q", names(some))
	}
}

func TestFolderSeesChanges(t *testing.T) {
	_, log := origintest.Isolate(t)
	dir := t.TempDir()
	paint(t, dir, tenPictures...)
	wantFolder(t, Folder(dir, small4), tenToLearn, tenForTest)
	sum := func() string {
		train, err := Folder(dir, small4).Train()
		if err != nil {
			t.Fatal(err)
		}
		return train.Sum()
	}
	before := sum()

	other := t.TempDir() // the same pictures elsewhere are the same data
	paint(t, other, tenPictures...)
	if train, err := Folder(other, small4).Train(); err != nil || train.Sum() != before {
		t.Errorf("a copy of the folder has another sum, %v", err)
	}

	log.Reset()
	path := filepath.Join(dir, "cat", "5.png")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if sum() != before || !strings.Contains(log.String(), "10 of 10") {
		t.Errorf("with a file that was touched it said %q", log)
	}
	origintest.Put(t, filepath.Dir(path), filepath.Base(path), pngOf("a picture.png"))
	if sum() == before {
		t.Error("with another picture the sum is the same")
	}

	// A picture that is as large and as old as the one before: copies can keep the time.
	replaced := func(value byte) {
		t.Helper()
		var file bytes.Buffer
		gray := image.NewGray(image.Rect(0, 0, 4, 4))
		gray.Pix[0] = value
		if err := bmp.Encode(&file, gray); err != nil {
			t.Fatal(err)
		}
		origintest.Put(t, filepath.Dir(path), "6.bmp", file.String())
		if err := os.Chtimes(filepath.Join(filepath.Dir(path), "6.bmp"), time.Time{}, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	replaced(1)
	before = sum()
	replaced(2)
	if sum() == before {
		t.Error("with a picture of the same size and time the sum is the same")
	}
	if err := os.Remove(filepath.Join(filepath.Dir(path), "6.bmp")); err != nil {
		t.Fatal(err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if train, err := Folder(dir, small4).Train(); err != nil || train.Len() != 7 {
		t.Errorf("with a picture removed there are %v, %v", train, err)
	}
	larger := picture.Frame{Height: 6, Width: 5, Channels: 1}
	if train, err := Folder(dir, larger).Train(); err != nil || len(train.Pixels) != 7*6*5 {
		t.Errorf("in another frame: %v", err)
	}
}

func TestFolderWithTrainAndTest(t *testing.T) {
	for _, split := range []string{"train test", "train val", "train valid", "Training Test", "train validation", "TRAIN Testing"} {
		learn, test, _ := strings.Cut(split, " ")
		_, log := origintest.Isolate(t)
		dir := t.TempDir()
		training := []string{learn + "/cat/1.png", learn + "/cat/2.png", learn + "/dog/3.png", learn + "/new/4.png"}
		testing := []string{test + "/cat/1.png", test + "/dog/5.png"}
		paint(t, dir, append(training, testing...)...)
		train, err := Folder(dir, small4).Train()
		if err != nil {
			t.Fatal(err)
		}
		got := names(train)
		slices.Sort(got)
		if !slices.Equal(got, training) {
			t.Errorf("to learn from: %q, want %q; it said %s", got, training, log)
		}
		s, err := Folder(dir, small4).Test()
		if err != nil {
			t.Fatal(err)
		}
		wantFolder(t, Folder(dir, small4), names(train), names(s))
		if got := names(s); len(got) != 2 || got[0] == got[1] {
			t.Errorf("for the test: %q, want %q", got, testing)
		}
		on := ", tested on its folder " + test
		if said := strings.Contains(Folder(dir, small4).String(), on); said == strings.EqualFold(test[:1], "t") {
			t.Errorf("with %s it calls itself %s", test, Folder(dir, small4))
		}
		if Folder(dir, small4).HasValidation() {
			t.Errorf("with %s and %s alone it has validation images", learn, test)
		}
		if said := strings.Contains(log.String(), "there is no folder test, so the pictures in "+test); said == strings.EqualFold(test[:1], "t") {
			t.Errorf("with %s it said %s", test, log)
		}
		paint(t, dir, test+"/horse/1.png")
		want := fmt.Sprintf("%s has the class %q in %s and not in %s: learn from it, too, or remove it", dir, "horse", test, learn)
		if err := Folder(dir, small4).Check(); err == nil || err.Error() != want {
			t.Errorf("a class that is only tested: %v, want %s", err, want)
		}
	}
}

// A folder that has three splits gives all of them, and the validation images change nothing of the others.
func TestFolderWithValidation(t *testing.T) {
	for _, val := range []string{"val", "Valid", "validation"} {
		origintest.Isolate(t)
		dir := t.TempDir()
		paint(t, dir, "train/cat/1.png", "train/cat/2.png", "train/dog/3.png", "test/cat/1.png", "test/dog/5.png")
		two := Folder(dir, small4)
		train, test, err := both(two)
		if err != nil {
			t.Fatal(err)
		}
		paint(t, dir, val+"/dog/7.png", val+"/dog/more/8.png")
		d := Folder(dir, small4)
		wantFolder(t, d, names(train), names(test))
		if sum, testSum := sumsOf(t, d); sum != train.Sum() || testSum != test.Sum() {
			t.Error("with validation images the others have other sums")
		}
		wantValidation(t, d, val+"/dog/7.png", val+"/dog/more/8.png")
		if want := filepath.Base(dir) + ", validation images of its own"; d.String() != want {
			t.Errorf("it calls itself %s, want %s", d, want)
		}
		wantValidation(t, d.Only("dog"), val+"/dog/7.png", val+"/dog/more/8.png")
		want := filepath.Base(dir) + " has no validation images of the classes in use, cat: choose others with Only"
		if _, err := d.Only("cat").Validation(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		want = filepath.Base(dir) + " has validation images of its own: leave .Validate(1) out, or them with .WithValidation(nil)"
		if _, err := d.Validate(1).Train(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if d.WithValidation(nil).HasValidation() || !d.Validate(0).HasValidation() {
			t.Error("it does not know whether it has validation images")
		}
		kept, err := d.WithValidation(nil).Validate(1).Validation()
		if err != nil || kept.Name(0) != names(train)[2] {
			t.Errorf("kept back is %v, %v", kept, err)
		}
	}
}

func both(d Images) (train, test *Split, err error) {
	if train, err = d.Train(); err != nil {
		return nil, nil, err
	}
	test, err = d.Test()
	return train, test, err
}

func sumsOf(t *testing.T, d Images) (train, test string) {
	t.Helper()
	a, b, err := both(d)
	if err != nil {
		t.Fatal(err)
	}
	return a.Sum(), b.Sum()
}

// wantValidation compares the validation images, in any order, with the pictures that were painted.
func wantValidation(t *testing.T, d Images, want ...string) {
	t.Helper()
	s, err := d.Validation()
	if err != nil {
		t.Fatal(err)
	}
	got := names(s)
	slices.Sort(got)
	if !slices.Equal(got, want) || !d.HasValidation() {
		t.Errorf("the validation images are %q, want %q", got, want)
	}
	for i := range s.Len() {
		if !bytes.Equal(s.picture(i), painting(s.Name(i))) || s.Label(i) != "dog" {
			t.Errorf("%s is a %s, or its pixels are not those of its file", s.Name(i), s.Label(i))
		}
	}
}

// macOS writes an accent behind its letter, others write both as one character. Nobody sees that there are two classes.
func TestFolderWithNamesThatLookTheSame(t *testing.T) {
	origintest.Isolate(t)
	for _, split := range []string{"", "train/ test/"} {
		learn, test, _ := strings.Cut(split, " ")
		dir := t.TempDir()
		paint(t, dir, learn+"caf\u00e9/1.png", learn+"tea/1.png", test+"cafe\u0301/1.png", test+"tea/1.png")
		want := dir + ` has folders that look the same but are written with other characters, "cafe\u0301" and "caf\u00e9"`
		if err := Folder(dir, small4).Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	dir := t.TempDir()
	paint(t, dir, "cafe\u0301/1.png", "Cafe\u0301/1.png")
	if err := Folder(dir, small4).Check(); err != nil {
		t.Error(err)
	}
}

func TestFolderNamesAndLeavesOut(t *testing.T) {
	_, log := origintest.Isolate(t)
	dir := filepath.Join(t.TempDir(), "图 片")
	paint(t, dir, "猫 的/1 (2).PNG", "猫 的/b.png", "Dog/1.png", "Dog/2.png", "dog/1.png", "dog/4.png")
	paint(t, dir, ".ipynb_checkpoints/1.png", "dog/.hidden.png", "dog/.git/1.png")
	elsewhere := t.TempDir()
	paint(t, elsewhere, "secret/1.png")
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, image.NewGray(image.Rect(0, 0, 64, 64)), nil); err != nil {
		t.Fatal(err)
	}
	origintest.Put(t, filepath.Join(dir, "Dog"), "cut.jpg", jpg.String()[:jpg.Len()-30])
	origintest.Put(t, filepath.Join(dir, "Dog"), "text.png", "not a picture")
	origintest.Put(t, filepath.Join(dir, "dog"), "huge.png", hugePNG())
	origintest.Put(t, filepath.Join(dir, "dog"), "notes.txt", "good dogs")
	origintest.Put(t, dir, "README.md", "not in a class")
	for link, to := range map[string]string{
		"dog/out.png":  filepath.Join(elsewhere, "secret", "1.png"),
		"dog/up.png":   "../../../../../../../../../../../../etc/passwd",
		"dog/gone.png": "nothing",
		"dog/all":      "../Dog",
		"Dog/in.png":   "2.png",
		"linked":       elsewhere,
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	d := Folder(dir, small4)
	if want := []string{"Dog", "dog", "猫 的"}; !slices.Equal(d.Classes, want) {
		t.Errorf("classes %q, want %q", d.Classes, want)
	}
	var got []string
	for _, open := range []func() (*Split, error){d.Train, d.Test} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, names(s)...)
	}
	slices.Sort(got)
	want := []string{"Dog/1.png", "Dog/2.png", "Dog/in.png", "dog/1.png", "dog/4.png", "猫 的/1 (2).PNG", "猫 的/b.png"}
	if !slices.Equal(got, want) {
		t.Errorf("the pictures are %q, want %q", got, want)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "left out") {
			lines = append(lines, line)
		}
	}
	if want := []string{
		`图 片: left out "linked": it is a link, which is not followed` + "\n",
		`图 片: left out "dog/all": it is a link to a folder, which is not followed` + "\n",
		`图 片: left out "dog/gone.png": it is not there` + "\n",
		`图 片: left out "dog/notes.txt": its name does not end in .png, .jpg, .jpeg, .gif, .webp, .bmp` + "\n",
		`图 片: left out "dog/out.png": it is a link out of the folder, which is not followed` + "\n",
		"图 片: left out 4 more\n",
	}; !slices.Equal(lines, want) {
		t.Errorf("it said\n%swant\n%s", strings.Join(lines, ""), strings.Join(want, ""))
	}
}

// hugePNG is the beginning of a PNG of 60,000 × 60,000 pixels.
func hugePNG() string {
	file := []byte(encoded(image.NewGray(image.Rect(0, 0, 1, 1))))
	binary.BigEndian.PutUint32(file[16:], 60000)
	binary.BigEndian.PutUint32(file[20:], 60000)
	binary.BigEndian.PutUint32(file[29:], crc32.ChecksumIEEE(file[12:29]))
	return string(file)
}

func TestFolderNamesWhatIsNoPicture(t *testing.T) {
	for file, why := range map[string]string{
		"not a picture":     "it is not a picture in PNG, JPEG, GIF, WebP or BMP",
		"":                  "it is not a picture in PNG, JPEG, GIF, WebP or BMP",
		hugePNG():           "it has 60000 × 60000 pixels: at most 67108864 are read",
		pngOf("1.png")[:40]: "it is cut off",
	} {
		_, log := origintest.Isolate(t)
		dir := filepath.Join(t.TempDir(), "pets")
		paint(t, dir, tenPictures...)
		origintest.Put(t, filepath.Join(dir, "dog"), "5.png", file)
		wantFolder(t, Folder(dir, small4), tenToLearn[1:], tenForTest)
		if want := fmt.Sprintf("pets: left out %q: %s\n", "dog/5.png", why); !strings.HasSuffix(log.String(), want) {
			t.Errorf("it said %q, want %q", log, want)
		}
	}
}

func TestFolderRefuses(t *testing.T) {
	origintest.Isolate(t)
	parent := t.TempDir()
	folder := func(name string, pictures ...string) string {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		paint(t, dir, pictures...)
		return dir
	}
	empty, one, hollow := folder("empty"), folder("one", "cat/1.png"), folder("hollow", tenPictures...)
	if err := os.Mkdir(filepath.Join(hollow, "horse"), 0o755); err != nil {
		t.Fatal(err)
	}
	damaged, untested := folder("damaged", tenPictures...), folder("untested", "cat/1.png", "dog/2.png")
	origintest.Put(t, filepath.Join(damaged, "horse"), "1.png", "")
	shut := folder("shut", "train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
	origintest.Put(t, filepath.Join(shut, "test", "cat"), "1.png", "not a picture")
	unheld, unlearned := folder("unheld", "train/cat/1.png", "train/dog/1.png", "test/cat/1.png"), folder("unlearned",
		"train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "val/cat/1.png", "val/horse/1.png")
	if err := os.Mkdir(filepath.Join(unheld, "val"), 0o755); err != nil {
		t.Fatal(err)
	}
	linked, untold := folder("linked", "cat/1.png"), folder("untold", "train/cat/1.png", "train/dog/1.png")
	if err := os.Symlink(filepath.Join(hollow, "horse"), filepath.Join(linked, "dog")); err != nil {
		t.Fatal(err)
	}
	twice := folder("twice", "train/cat/1.png", "train/dog/1.png", "Train/cat/1.png", "test/cat/1.png")
	for _, c := range []struct {
		path  string
		frame picture.Frame
		want  string
	}{
		{linked, small4, linked + ` has one folder in it, "cat": put the pictures of other classes into others` +
			`; "dog" is a link, which is not followed: put a folder in its place`},
		{untold, small4, untold + " has train, but no test (or val): add that, with pictures for the test, or name " + untold + "/train"},
		{twice, small4, twice + ": there are train and Train: keep one"},
		{unheld, small4, unheld + " has no pictures in val: put some there, or remove it"},
		{unlearned, small4, unlearned + ` has the class "horse" in val and not in train: learn from it, too, or remove it`},

		{"", small4, "no folder of pictures is named: name one that has a folder in it for each class"},
		{filepath.Join(parent, "missing"), small4, "there is no folder " + parent + "/missing: name one that has a folder in it for each class"},
		{empty, small4, empty + " has no folders in it: put the pictures of each class into one"},
		{one, small4, one + ` has one folder in it, "cat": put the pictures of other classes into others`},
		{hollow, small4, hollow + ` has no pictures of the class "horse": put some into that folder, or remove it`},
		{damaged, small4, damaged + ` has no picture of the class "horse" to learn from: add some`},
		{untested, small4, untested + " has no pictures for the test, which are one of 5, drawn by their names: add some"},
		{shut, small4, shut + " has no pictures in test: put some there"},
		{hollow, picture.Frame{Height: 4, Width: 4}, "pictures cannot be brought to 0 channels: it must be 1, grey, or 3, red, green and blue"},
		{filepath.Join(one, "cat", "1.png"), small4, "open " + one + "/cat/1.png: not a directory"},
	} {
		if _, err := Folder(c.path, c.frame).Train(); err == nil || err.Error() != c.want {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
	if entries, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "convbook/data/folders/*s")); len(entries) > 0 {
		t.Errorf("left behind: %q", entries)
	}
}

// What is beside the folders of the splits is said where the pictures are decoded, and not again.
func TestFolderBeside(t *testing.T) {
	_, log := origintest.Isolate(t)
	dir := filepath.Join(t.TempDir(), "pets")
	paint(t, dir, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png", "more/cat/1.png")
	for range 2 {
		if _, err := Folder(dir, small4).Train(); err != nil {
			t.Fatal(err)
		}
	}
	if said := strings.Count(log.String(), `pets: the folder "more" beside train is not used`+"\n"); said != 1 {
		t.Errorf("said %d times: %q", said, log)
	}
}

func TestFolderInADamagedCache(t *testing.T) {
	cache, log := origintest.Isolate(t)
	dir := filepath.Join(t.TempDir(), "pets")
	paint(t, dir, tenPictures...)
	wantFolder(t, Folder(dir, small4), tenToLearn, tenForTest)
	kept, err := filepath.Glob(filepath.Join(cache, "folders", "*.pictures"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept are %q, %v", kept, err)
	}
	good, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 10*48 - 1, 10 * 48, 10*48 + 330, len(good) - 1, len(good) - 50, len(good) - 60} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		for _, content := range [][]byte{bad, good[:at]} {
			log.Reset()
			if err := os.WriteFile(kept[0]+"-new", content, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(kept[0]+"-new", kept[0]); err != nil { // a file that is mapped is never changed
				t.Fatal(err)
			}
			wantFolder(t, Folder(dir, small4), tenToLearn, tenForTest)
			if !strings.Contains(log.String(), "what was decoded before cannot be used") {
				t.Errorf("damaged at %d it said %q", at, log)
			}
		}
	}
}

func TestFolderIsDecodedOnce(t *testing.T) {
	_, log := origintest.Isolate(t)
	dir := t.TempDir()
	paint(t, dir, tenPictures...)
	var group sync.WaitGroup
	for range 8 {
		d := Folder(dir, small4)
		group.Go(func() {
			if s, err := d.Train(); err != nil || s.Len() != 8 {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
	group.Wait()
	if n := strings.Count(log.String(), "10 of 10"); n != 1 {
		t.Errorf("decoded %d times: %s", n, log)
	}
}

func TestFolderWithoutRoom(t *testing.T) {
	cache, _ := origintest.Isolate(t)
	origintest.Put(t, cache, "folders", "a file where the folder would be")
	dir := t.TempDir()
	paint(t, dir, tenPictures...)
	_, err := Folder(dir, small4).Train()
	if err == nil || !strings.HasPrefix(err.Error(), "cannot keep the pictures of "+dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

// A folder of CIFAR-10's pictures has their bytes.
func TestFolderOfCIFAR10IsCIFAR10(t *testing.T) {
	inCache(t)
	cifar := CIFAR10()
	test, err := cifar.Test()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range 500 {
		var file bytes.Buffer
		if err := png.Encode(&file, test.Image(i)); err != nil {
			t.Fatal(err)
		}
		origintest.Put(t, filepath.Join(dir, test.Label(i)), fmt.Sprintf("%05d.png", i), file.String())
	}
	origintest.Isolate(t)
	again := Folder(dir, picture.Frame{Height: 32, Width: 32, Channels: 3})
	seen := 0
	for _, open := range []func() (*Split, error){again.Train, again.Test} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Len() {
			var n int
			if _, err := fmt.Sscanf(filepath.Base(s.Name(i)), "%d.png", &n); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.picture(i), test.picture(n)) || s.Label(i) != test.Label(n) {
				t.Errorf("picture %d is not what it was", n)
			}
			seen++
		}
	}
	if seen != 500 {
		t.Errorf("%d pictures, want 500", seen)
	}
}
