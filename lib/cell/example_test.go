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
	t.Row("CNN", 6422, 94.5)
	cell.Show(t)
	// Output:
	//           parameters  accuracy, %
	// FC2Layer        6442        86.36
	// CNN             6422         94.5
}

func ExampleNear() {
	third := 1.0 / 3
	cell.Near("three thirds", 3*third, 1, 1e-12) // silent: it holds
	cell.Check(third < 0.5, "a third is %v", third)
	// Output:
}
