// Package tree grows and prunes decision trees: CART (Breiman, Friedman, Olshen and Stone, "Classification and
// Regression Trees", 1984).
//
// A tree asks one question after another, each about one feature of a row, and answers with a class. Features are
// bytes, like the pixels of a picture; a row is then a picture.
package tree

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Tree is a decision tree.
type Tree struct {
	root     *node
	features int
}

// node is a question, or a leaf if it has no children.
type node struct {
	class    byte // the most frequent one among the training rows that come here, the first of equals
	mistakes int  // training rows that come here and have another class
	depth    int  // questions above it

	feature   int
	at        byte // rows whose feature is below this go to low
	low, high *node
	split     int // the question's number, from 1 in the order in which they were added
}

func (n *node) leaf() bool { return n.low == nil }

// Grow grows a tree on training rows, [row × feature] in one slice, until each leaf has rows of one class only, or rows
// that no question can tell apart.
//
// Each question is the one, among all features and values, that makes the two parts purest by Gini's measure, the first
// of equals. The leaf that gains most is split first, so the tree is a good one after any number of splits: see
// [Tree.Cut].
func Grow(rows, labels []byte) (*Tree, error) {
	if len(labels) == 0 || len(rows) == 0 || len(rows)%len(labels) != 0 {
		return nil, fmt.Errorf("a tree needs training rows of one length: there are %d values for %d labels", len(rows), len(labels))
	}
	g := grower{rows: rows, labels: labels, features: len(rows) / len(labels), classes: int(slices.Max(labels)) + 1}
	all := make([]int, len(labels))
	for i := range all {
		all[i] = i
	}
	root := g.node(all, 0)
	open := []*candidate{g.candidate(root, all)} // leaves, with the best question for each
	for split := 1; ; split++ {
		best := -1
		for i, c := range open {
			if c.splits() && (best < 0 || c.gain > open[best].gain) {
				best = i
			}
		}
		if best < 0 {
			return &Tree{root, g.features}, nil
		}
		c := open[best]
		var low, high []int
		for _, row := range c.of {
			if g.value(row, c.feature) < c.at {
				low = append(low, row)
			} else {
				high = append(high, row)
			}
		}
		n := c.node
		n.feature, n.at, n.split = c.feature, c.at, split
		n.low, n.high = g.node(low, n.depth+1), g.node(high, n.depth+1)
		open[best] = g.candidate(n.low, low)
		open = append(open, g.candidate(n.high, high))
	}
}

// grower is the training data of a tree.
type grower struct {
	rows, labels      []byte
	features, classes int
}

func (g grower) value(row, feature int) byte { return g.rows[row*g.features+feature] }

// node is a leaf for these rows.
func (g grower) node(of []int, depth int) *node {
	counts := make([]int, g.classes)
	for _, row := range of {
		counts[g.labels[row]]++
	}
	most := slices.Max(counts)
	return &node{class: byte(slices.Index(counts, most)), mistakes: len(of) - most, depth: depth}
}

// candidate is a leaf with the best question for the rows that come to it.
type candidate struct {
	node    *node
	of      []int
	feature int
	at      byte
	gain    float64 // how much purer the parts are; negative if there is no question
}

func (c *candidate) splits() bool { return c.gain >= 0 }

// candidate finds the best question.
//
// Gini's impurity of n rows, n_c of them of class c, is 1 − Σ(n_c/n)²: how often two of them, drawn at random, differ.
// The sum over both parts, each weighted by its number of rows, is smallest where Σ n_c²/n, summed over both, is
// largest.
func (g grower) candidate(n *node, of []int) *candidate {
	best := &candidate{node: n, of: of, gain: -1}
	if n.mistakes == 0 {
		return best
	}
	whole := make([]int, g.classes)
	for _, row := range of {
		whole[g.labels[row]]++
	}
	before := squares(whole) / float64(len(of))
	sorted := make([]uint16, len(of)) // the feature's value, and in the lower byte the label
	low, high := make([]int, g.classes), make([]int, g.classes)
	for feature := range g.features {
		for i, row := range of {
			sorted[i] = uint16(g.value(row, feature))<<8 | uint16(g.labels[row])
		}
		slices.Sort(sorted)
		clear(low)
		copy(high, whole)
		lowSquares, highSquares := 0.0, before*float64(len(of))
		for i := range len(sorted) - 1 {
			class := sorted[i] & 0xff
			lowSquares += float64(2*low[class] + 1)
			highSquares -= float64(2*high[class] - 1)
			low[class]++
			high[class]--
			value, next := sorted[i]>>8, sorted[i+1]>>8
			if value == next {
				continue
			}
			gain := max(0, lowSquares/float64(i+1)+highSquares/float64(len(of)-i-1)-before) // not below 0 by rounding
			if gain > best.gain {
				best.feature, best.at, best.gain = feature, byte((value+next+1)/2), gain
			}
		}
	}
	return best
}

func squares(counts []int) (sum float64) {
	for _, n := range counts {
		sum += float64(n * n)
	}
	return sum
}

// Predict is the class that the tree gives a row.
func (t *Tree) Predict(row []byte) byte {
	n := t.root
	for !n.leaf() {
		if row[n.feature] < n.at {
			n = n.low
		} else {
			n = n.high
		}
	}
	return n.class
}

// Error is the percentage of rows that get a class other than their label.
func (t *Tree) Error(rows, labels []byte) float64 {
	wrong := 0
	for i, label := range labels {
		if t.Predict(rows[i*t.features:(i+1)*t.features]) != label {
			wrong++
		}
	}
	return 100 * float64(wrong) / float64(len(labels))
}

// Leaves is the number of leaves, one more than the number of questions.
func (t *Tree) Leaves() int { return t.root.leaves() }

func (n *node) leaves() int {
	if n.leaf() {
		return 1
	}
	return n.low.leaves() + n.high.leaves()
}

// Cut is the tree as it was after this many splits; the whole tree if it has fewer.
func (t *Tree) Cut(splits int) *Tree {
	return &Tree{t.root.copy(func(n *node) bool { return n.split > splits }), t.features}
}

// copy copies the tree below n and turns the nodes for which ends holds into leaves.
func (n *node) copy(ends func(n *node) bool) *node {
	c := *n
	if n.leaf() || ends(n) {
		c.low, c.high = nil, nil
		return &c
	}
	c.low, c.high = n.low.copy(ends), n.high.copy(ends)
	return &c
}

// Prune is the best smaller tree when every leaf has a price: of all the trees that cutting branches off can leave, the
// one with the smallest sum of training mistakes and price × leaves, and of equals the smallest tree.
func (t *Tree) Prune(price float64) *Tree {
	keep := map[*node]bool{}
	best(t.root, price, keep)
	return &Tree{t.root.copy(func(n *node) bool { return !keep[n] }), t.features}
}

// best is the smallest cost of the tree below n. It notes in keep which questions are worth their price.
func best(n *node, price float64, keep map[*node]bool) float64 {
	alone := float64(n.mistakes) + price
	if n.leaf() {
		return alone
	}
	below := best(n.low, price, keep) + best(n.high, price, keep)
	if below < alone-1e-9*(1+math.Abs(alone)) { // by more than rounding
		keep[n] = true
		return below
	}
	return alone
}

// Prices are those at which [Tree.Prune] cuts more off, from low to high: 0, then with each price a smaller tree, down
// to a single leaf.
func (t *Tree) Prices() []float64 {
	prices := []float64{0}
	for left := t.Prune(0); !left.root.leaf(); left = t.Prune(prices[len(prices)-1]) {
		weakest := math.Inf(1)
		left.root.each(func(n *node) {
			if !n.leaf() {
				mistakes, leaves := n.below()
				weakest = min(weakest, float64(n.mistakes-mistakes)/float64(leaves-1))
			}
		})
		prices = append(prices, weakest)
	}
	return prices
}

// below is the training mistakes and the number of the leaves below n.
func (n *node) below() (mistakes, leaves int) {
	n.each(func(m *node) {
		if m.leaf() {
			mistakes += m.mistakes
			leaves++
		}
	})
	return mistakes, leaves
}

func (n *node) each(f func(*node)) {
	f(n)
	if !n.leaf() {
		n.low.each(f)
		n.high.each(f)
	}
}

// String is the tree as questions, each with its answers below it.
func (t *Tree) String() string {
	var b strings.Builder
	t.root.write(&b, "", "")
	return b.String()
}

func (n *node) write(b *strings.Builder, indent, answer string) {
	if n.leaf() {
		fmt.Fprintf(b, "%s%sclass %d\n", indent, answer, n.class)
		return
	}
	fmt.Fprintf(b, "%s%sfeature %d below %d?\n", indent, answer, n.feature, n.at)
	indent += strings.Repeat(" ", len(answer))
	n.low.write(b, indent+"  ", "yes: ")
	n.high.write(b, indent+"  ", "no:  ")
}
