package dataset

import (
	"cmp"
	"path/filepath"

	"example.org/convbook/lib/dataset/internal/folder"
	"example.org/convbook/lib/dataset/internal/origin"
	"example.org/convbook/lib/picture"
)

// Folder is a data set of the user's own: a folder with a folder in it for each class, as torchvision's ImageFolder has
// it, and in those the pictures, in PNG, JPEG, GIF, WebP or BMP, in folders of their own or not. All are brought to the
// frame. Classes are named and sorted as the folders are.
//
// One picture in five is for the test. Its name decides, so a picture stays where it is when others are added. But
// folders train and test are taken as they are, and have the folders of the classes in them. With a folder val beside
// them, the data set has validation images of its own; see Validation. They may also be called training, testing, valid
// or validation, in small letters or capitals. Folders train and val without a test are taken as many such data sets
// mean them: val is for the test then, which String and the first opening say, and for choosing there is Validate. The
// order of the pictures is drawn by their names, too: the first hundred are of all classes.
//
// The pictures are decoded when they are first needed, on all cores, and kept in the user's cache. From there they are
// mapped into memory, so later openings look at the names, sizes and times of the files only, and there can be more
// pictures than the memory has room for; a training takes the memory of all on the device. A file that is not a picture
// is named and left out, and so is a link that leads out of the folder. Whatever begins with a dot is ignored.
//
// The folder's name is the data set's, and a run trained on it is identified by the pictures' contents. Check and
// whatever reads the pictures say what is wrong with the folder.
func Folder(path string, frame picture.Frame) Images {
	tree, err := folder.Read(path)
	d := New(filepath.Base(tree.Path), tree.Classes, frame.Height, frame.Width, frame.Channels, nil)
	all := &opened{open: func() (splits, error) {
		cache, err := origin.Cache()
		if err != nil {
			return splits{}, err
		}
		s, err := tree.Open(frame, filepath.Join(cache, "folders"), origin.Log)
		return splits{splitOf(s.Train), splitOf(s.Test), splitOf(s.Validation)}, err
	}}
	d.train, d.test, d.testedOn = all.reader(training), all.reader(test), tree.TestedOn()
	if tree.HasValidation() {
		d.own = all.reader(validation)
	}
	d.shorter, d.err = frame.Shorter, cmp.Or(err, frame.Check())
	return d
}

func splitOf(p folder.Pictures) *Split {
	return &Split{Pixels: p.Pixels, Labels: p.Labels, names: p.Names, sums: p.Sums}
}
