package figure_test

import (
	"fmt"
	"image"

	"example.org/convbook/lib/array"
	"example.org/convbook/lib/figure"
)

func ExampleLines() {
	f := figure.Lines(figure.Chart{Title: "Loss while training", X: "step", Y: "loss"},
		figure.NewSeries("CNN", []float32{2.3, 0.9, 0.4}))
	fmt.Println(f.Alt)
	fmt.Println(f.Size())
	// Output:
	// Line chart: Loss while training, loss over step; CNN from 2.3 to 0.4
	// (600,320)
}

func ExampleGrid() {
	filter := array.New([]float32{1, 0, -1, 2, 0, -2, 1, 0, -1}, 3, 3)
	f := figure.Grid(figure.Pictures{
		Title: "A filter twice", Images: []image.Image{figure.RedBlue(filter), figure.Gray(filter)},
		Captions: []string{"in colours", "in grey"},
	})
	fmt.Println(f.Alt)
	// Output: 2 pictures: A filter twice (in colours, in grey)
}

// What cannot be drawn is a figure with an error inside.
func ExampleFigure_PNG() {
	f := figure.Numbers("scores", array.New([]float32{1, 2, 3}, 3))
	_, err := f.PNG()
	fmt.Println(err)
	// Output: numbers "scores": an array [3] of 3 numbers has no height and width: take a row or a channel of it
}
