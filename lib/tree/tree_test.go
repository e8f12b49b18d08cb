package tree

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"example.org/convbook/lib/dataset"
)

func ExampleGrow() {
	rows := []byte{ // size and brightness of six fruits
		10, 200,
		20, 180,
		30, 220,
		90, 30,
		80, 40,
		85, 210,
	}
	labels := []byte{0, 0, 0, 1, 1, 2} // cherry, plum, grapefruit
	t, err := Grow(rows, labels)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(t)
	fmt.Println("a small dark fruit:", t.Predict([]byte{15, 20}))
	// Output:
	// feature 0 below 55?
	//   yes: class 0
	//   no:  feature 1 below 125?
	//          yes: class 1
	//          no:  class 2
	// a small dark fruit: 0
}

func grow(t *testing.T, rows, labels []byte) *Tree {
	t.Helper()
	tree, err := Grow(rows, labels)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// On paper: below 25 are three of class 0 and one of class 1, Σ n_c²/n = 10/4; above, four of class 1, 16/4: 6.5 in
// all. The question at 15 gives 4/2 + (1 + 25)/6 = 6.33, the one at 35 gives (9 + 4)/5 + 9/3 = 5.6.
func TestQuestionByHand(t *testing.T) {
	rows := []byte{10, 10, 20, 20, 30, 40, 40, 40}
	labels := []byte{0, 0, 0, 1, 1, 1, 1, 1}
	tree := grow(t, rows, labels)
	if tree.root.at != 25 || tree.root.low.class != 0 || tree.root.low.mistakes != 1 || tree.root.high.class != 1 {
		t.Errorf("first question below %d:\n%v", tree.root.at, tree)
	}
	if tree.Leaves() != 3 || tree.Error(rows, labels) != 12.5 { // nothing tells the two rows of 20 apart
		t.Errorf("%d leaves, %v %% wrong:\n%v", tree.Leaves(), tree.Error(rows, labels), tree)
	}
	if left := tree.Prune(0); left.Leaves() != 2 || left.Error(rows, labels) != 12.5 { // the question at 15 saves no mistake
		t.Errorf("pruned:\n%v", left)
	}
}

// No first question makes anything purer, and yet two in a row do.
func TestExclusiveOr(t *testing.T) {
	rows, labels := []byte{0, 0, 0, 9, 9, 0, 9, 9}, []byte{0, 1, 1, 0}
	if tree := grow(t, rows, labels); tree.Leaves() != 4 || tree.Error(rows, labels) != 0 {
		t.Errorf("%d leaves, %v %% wrong", tree.Leaves(), tree.Error(rows, labels))
	}
}

func TestExtremes(t *testing.T) {
	if tree := grow(t, []byte{5, 5, 5}, []byte{2, 1, 1}); tree.Leaves() != 1 || tree.Predict([]byte{0}) != 1 {
		t.Errorf("rows that are all alike: %v", tree)
	}
	tree := grow(t, []byte{0, 255, 254}, []byte{0, 1, 0})
	for value, want := range map[byte]byte{0: 0, 127: 0, 254: 0, 255: 1} {
		if got := tree.Predict([]byte{value}); got != want {
			t.Errorf("class %d for %d", got, value)
		}
	}
	for _, c := range [][2]int{{0, 0}, {3, 2}, {3, 0}, {0, 3}} {
		if _, err := Grow(make([]byte, c[0]), make([]byte, c[1])); err == nil || !strings.Contains(err.Error(), "rows of one length") {
			t.Errorf("%d values for %d labels: %v", c[0], c[1], err)
		}
	}
}

// sample is random rows of two features, on which their classes depend, more or less.
func sample(seed uint64, n int) (rows, labels []byte) {
	random := rand.New(rand.NewPCG(seed, 0))
	for range n {
		a, b := byte(random.IntN(12)), byte(random.IntN(12))
		rows = append(rows, a, b)
		label := (a + b) / 8
		if random.IntN(4) == 0 {
			label = byte(random.IntN(3))
		}
		labels = append(labels, label)
	}
	return rows, labels
}

// impurity is Gini's measure, as textbooks write it, of the rows for which in holds, times their number.
func impurity(labels []byte, in func(row int) bool) float64 {
	n, counts := 0.0, map[byte]float64{}
	for i, label := range labels {
		if in(i) {
			n++
			counts[label]++
		}
	}
	if n == 0 {
		return 0
	}
	sum := 1.0
	for _, c := range counts {
		sum -= c / n * c / n
	}
	return n * sum
}

// The first question is the best of all that can be asked, tried one by one.
func TestFirstQuestionIsTheBest(t *testing.T) {
	for seed := range uint64(50) {
		rows, labels := sample(seed, 30)
		after := func(feature, at int) float64 {
			low := func(row int) bool { return int(rows[2*row+feature]) < at }
			return impurity(labels, low) + impurity(labels, func(row int) bool { return !low(row) })
		}
		best := math.Inf(1)
		for feature := range 2 {
			for at := range 13 {
				best = min(best, after(feature, at))
			}
		}
		root := grow(t, rows, labels).root
		if got := after(root.feature, int(root.at)); math.Abs(got-best) > 1e-9 {
			t.Errorf("seed %d: impurity %v after the first question, %v after the best", seed, got, best)
		}
	}
}

func TestCut(t *testing.T) {
	rows, labels := sample(1, 60)
	tree := grow(t, rows, labels)
	before := 100.0
	for splits := range tree.Leaves() {
		cut := tree.Cut(splits)
		if cut.Leaves() != splits+1 {
			t.Errorf("%d leaves after %d splits", cut.Leaves(), splits)
		}
		if now := cut.Error(rows, labels); now > before {
			t.Errorf("split %d made training worse: %v %% wrong, before %v %%", splits, now, before)
		} else {
			before = now
		}
	}
	if tree.Cut(1000).String() != tree.String() {
		t.Error("a cut beyond the end changes the tree")
	}
	gain := func(splits int) float64 {
		return impurityOf(tree.Cut(splits), rows, labels) - impurityOf(tree.Cut(splits+1), rows, labels)
	}
	if gain(0) < gain(1) || gain(1) < gain(tree.Leaves()-2) {
		t.Errorf("gains %v, %v, …, %v: the largest come first", gain(0), gain(1), gain(tree.Leaves()-2))
	}
}

// impurityOf is the impurity in all leaves together.
func impurityOf(t *Tree, rows, labels []byte) (sum float64) {
	leaf := func(row int) *node {
		n := t.root
		for !n.leaf() {
			if rows[row*t.features+n.feature] < n.at {
				n = n.low
			} else {
				n = n.high
			}
		}
		return n
	}
	seen := map[*node]bool{}
	for i := range labels {
		if at := leaf(i); !seen[at] {
			seen[at] = true
			sum += impurity(labels, func(row int) bool { return leaf(row) == at })
		}
	}
	return sum
}

// pruned lists mistakes and leaves of every tree that is left when branches below n are cut off.
func pruned(n *node) (all [][2]int) {
	all = [][2]int{{n.mistakes, 1}}
	if !n.leaf() {
		for _, a := range pruned(n.low) {
			for _, b := range pruned(n.high) {
				all = append(all, [2]int{a[0] + b[0], a[1] + b[1]})
			}
		}
	}
	return all
}

// Prune finds the best of all smaller trees, tried one by one.
func TestPruneIsTheBest(t *testing.T) {
	for seed := range uint64(30) {
		rows, labels := sample(seed, 14)
		tree := grow(t, rows, labels)
		for _, price := range []float64{0, 0.3, 0.5, 1, 1.5, 2, 3, 10} {
			want, leaves := math.Inf(1), 0
			for _, c := range pruned(tree.root) {
				cost := float64(c[0]) + price*float64(c[1])
				if cost < want-1e-9 || cost < want+1e-9 && c[1] < leaves {
					want, leaves = cost, c[1]
				}
			}
			got := tree.Prune(price)
			mistakes := got.Error(rows, labels) / 100 * float64(len(labels))
			if cost := mistakes + price*float64(got.Leaves()); math.Abs(cost-want) > 1e-9 || got.Leaves() != leaves {
				t.Errorf("seed %d, price %v: %d leaves that cost %v, the best has %d and costs %v", seed, price, got.Leaves(), cost, leaves, want)
			}
		}
	}
}

func TestPrices(t *testing.T) {
	rows, labels := sample(3, 80)
	tree := grow(t, rows, labels)
	prices := tree.Prices()
	if prices[0] != 0 || !slices.IsSorted(prices) || len(prices) < 4 {
		t.Fatalf("prices %v", prices)
	}
	for i, price := range prices {
		at := tree.Prune(price).Leaves()
		if i > 0 {
			if before, between := tree.Prune(prices[i-1]).Leaves(), tree.Prune((prices[i-1]+price)/2).Leaves(); at >= before || between != before {
				t.Errorf("price %v: %d leaves, %d just before, %d at the price before", price, at, between, before)
			}
		}
		if last := i == len(prices)-1; last != (at == 1) {
			t.Errorf("price %v, %d of %d: %d leaves", price, i, len(prices), at)
		}
	}
}

// What scikit-learn 1.9.1's DecisionTreeClassifier gives on three thousands of digits: the leaves of the whole tree,
// and the training mistakes of the one with max_leaf_nodes=33, which grows best leaf first, too. Where questions are
// equally good it takes one at random, so test errors differ a little.
func TestAgainstScikitLearn(t *testing.T) {
	training, err := dataset.MNIST().Train()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ leaves, mistakes int }{{165, 194}, {169, 205}, {161, 200}} {
		rows, labels := training.Pixels[i*784000:(i+1)*784000], training.Labels[i*1000:(i+1)*1000]
		tree := grow(t, rows, labels)
		mistakes := int(math.Round(10 * tree.Cut(32).Error(rows, labels)))
		if tree.Leaves() != want.leaves || mistakes != want.mistakes || tree.Error(rows, labels) != 0 {
			t.Errorf("thousand %d: %d leaves and %d mistakes with 33, want %d and %d", i, tree.Leaves(), mistakes, want.leaves, want.mistakes)
		}
	}
}
