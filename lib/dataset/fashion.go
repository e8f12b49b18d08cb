package dataset

import (
	"os"
	"path/filepath"

	"example.org/convbook/lib/dataset/internal/origin"
)

// fashionMNIST is 70,000 pictures of clothes, shoes and bags of 28 × 28 grey pixels, in the form of MNIST: Xiao, Rasul
// and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017. The SHA-256
// sums are of what Debian's package dataset-fashion-mnist has. It is what the authors publish: with the names and times
// that Debian leaves out of the packed files put back (31 August 2017, 10:50:06 and 10:50:27 UTC), those have the
// published MD5 sums.
var fashionMNIST = origin.Source{
	Name:   "Fashion-MNIST",
	Folder: "fashion-mnist",
	Files: []origin.File{
		{Name: "train-images-idx3-ubyte", Size: 47040016,
			SHA256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
		{Name: "train-labels-idx1-ubyte", Size: 60008,
			SHA256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
		{Name: "t10k-images-idx3-ubyte", Size: 7840016,
			SHA256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
		{Name: "t10k-labels-idx1-ubyte", Size: 10008,
			SHA256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
	},
	Origins: []origin.Origin{
		origin.GzipFolder("/usr/share/datasets/fashion-mnist"),
		origin.WebFolder("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", map[string]string{
			"train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
			"train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
			"t10k-images-idx3-ubyte.gz":  "bef4ecab320f06d8554ea6380940ec79",
			"t10k-labels-idx1-ubyte.gz":  "bb300cfdad3c16e7a12a480ee83cd310",
		}),
	},
	Other: func(own string) origin.Origin {
		for _, sub := range []string{"", "fashion-mnist", "FashionMNIST/raw"} { // the last is torchvision's
			folder := filepath.Join(own, sub)
			if _, err := os.Stat(filepath.Join(folder, "train-images-idx3-ubyte.gz")); err == nil {
				return origin.GzipFolder(folder)
			}
		}
		return nil
	},
}

// FashionMNIST is photographs of ten kinds of clothes, shoes and bags: 60,000 training and 10,000 test images of
// 28 × 28 grey pixels, white on black as the digits of MNIST. They can be fetched from the authors' host, or are taken
// from Debian's package dataset-fashion-mnist if that is installed.
func FashionMNIST() Images {
	classes := []string{"T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"}
	return published(fashionMNIST.Name, classes, 28, 28, 1,
		mnistFiles(fashionMNIST, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
		mnistFiles(fashionMNIST, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"))
}

// FetchFashionMNIST puts Fashion-MNIST into the user's cache, unless it is there or in CONVBOOK_DATA, and returns its
// folder.
func FetchFashionMNIST() (folder string, err error) { return fashionMNIST.Fetch() }
