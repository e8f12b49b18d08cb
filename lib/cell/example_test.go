package cell_test

import (
	"image"

	"example.org/convbook/lib/cell"
	"example.org/convbook/lib/figure"
)

func ExampleShow() {
	dot := image.NewGray(image.Rect(0, 0, 2, 2))
	cell.Show("A picture:", figure.Grid(figure.Pictures{Title: "A dot", Images: []image.Image{dot}}))
	// Output:
	// A picture:
	// [figure: 1 picture: A dot]
}

func ExampleNewTable() {
	t := cell.NewTable("", "parameters", "accuracy, %")
	t.Row("FC2Layer", 6442, 86.36)
	t.Row("VGG16", 9231114, 83.6)
	cell.Show(t)
	// Output:
	//           parameters  accuracy, %
	// FC2Layer       6,442        86.36
	// VGG16      9,231,114        83.60
}

func ExampleNear() {
	third := 1.0 / 3
	cell.Near("three thirds", 3*third, 1, 1e-12) // silent: it holds
	cell.Check(third < 0.5, "a third is %v", third)
	// Output:
}

// Numbers of one column have the same decimals, so their points stand below each other, unless they are too far apart.
func ExampleTable_Row() {
	t := cell.NewTable("", "share, %", "loss", "rate")
	t.Row("cat", 9.34, 0.9367, 0.1)
	t.Row("dog", 100.0, 1.704, 0.00001)
	t.Row("frog", 42.6, float32(2), 3)
	cell.Show(t)
	// Output:
	//       share, %    loss   rate
	// cat       9.34  0.9367    0.1
	// dog     100.00  1.7040  1e-05
	// frog     42.60  2.0000      3
}
