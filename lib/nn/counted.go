package nn

import "github.com/gomlx/gomlx/core/graph"

type countedKey struct{}

// SetCounted tells the layers of a graph which images of the batch count: 1 for those that do, 0 for those that only
// fill up a short batch to the size that the program was compiled for. Layers that mix images, as batch norm does,
// leave the fillers out, so the batch computes what its own images alone would. Without it all images count. float32
// [batch]
func SetCounted(counted *graph.Node) { counted.Graph().AttachState(countedKey{}, counted) }

// countedOf is what SetCounted told the graph, or nil.
func countedOf(g *graph.Graph) *graph.Node {
	counted, _ := g.State(countedKey{}).(*graph.Node)
	return counted
}
