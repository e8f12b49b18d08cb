package dataset_test

import (
	"fmt"
	"image"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"example.org/convbook/lib/dataset"
)

// Every picture is up to 20 levels lighter or darker in each epoch.
func ExampleAugmentFunc() {
	light := dataset.AugmentFunc("light", 1, func(pictures, random *graph.Node) *graph.Node {
		by := graph.MulScalar(graph.AddScalar(random, -0.5), 40) // -20 to 20, [batch, 1]
		x := graph.Add(graph.ConvertDType(pictures, dtypes.Float32), graph.Reshape(by, -1, 1, 1, 1))
		return graph.ConvertDType(graph.ClipScalar(graph.Round(x), 0, 255), dtypes.Uint8)
	})
	data := dataset.New("dots", []string{"dot", "none"}, 1, 1, 1, func() (train, test *dataset.Split, err error) {
		dots := &dataset.Split{Pixels: []byte{100, 250}, Labels: []byte{0, 1}}
		return dots, dots, nil
	})
	train, err := data.Augment(light).Train()
	if err != nil {
		fmt.Println(err)
		return
	}
	versions, err := train.Augmented(1, 4, 1) // of picture 1, with seed 1
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, version := range versions {
		fmt.Println(version.(*image.Gray).Pix[0])
	}
	// Output:
	// 237
	// 245
	// 253
	// 238
}
