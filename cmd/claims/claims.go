package main

// readme is where claims stand that no notebook makes.
const readme = "README"

// claim is a statement of the book that stands or falls with the means of several trainings.
type claim struct {
	name  string
	says  string // as the book says it
	where string
	a, b  arm     // are compared; without b, a is compared with the same in PyTorch
	fixed float64 // if not 0, a is compared with this number, and b only names it
	what  measure
	rule  rule
	seeds int
	peers bool // PyTorch's trainings must bear it out, too
}

// arm is a training without who and seed, and what it is called beside the other one.
type arm struct {
	name string
	work Work
}

// measure is what of a row is compared.
type measure struct {
	unit string
	of   func(Row) float64
}

var (
	accuracy  = measure{"%", func(r Row) float64 { return r.Accuracy }}
	twoLooks  = measure{"%", func(r Row) float64 { return r.TwoLooks }}
	trainLoss = measure{"", func(r Row) float64 { return r.TrainLoss }}
)

// The data and the recipes of the chapters.
var (
	digitsPlain    = Data{Set: "MNIST", Mean: []float64{0.1307}, Std: []float64{0.3081}}
	digitsPermuted = Data{Set: "MNIST", Mean: []float64{0.1307}, Std: []float64{0.3081}, Permuted: true}
	digitsFew      = Data{Set: "MNIST", Mean: []float64{0.1307}, Std: []float64{0.3081}, First: 5000} // notebook 06
	photosHalf     = Data{Set: "CIFAR-10", Mean: []float64{0.5}, Std: []float64{0.5}}                 // notebook 12

	digitsRecipe = Recipe{Epochs: 1, Batch: 64, Loss: "negative log-likelihood", Optimizer: "SGD", Rate: 0.01, Momentum: 0.5}
	towerRecipe  = Recipe{Epochs: 2, Batch: 64, Loss: "cross-entropy", Optimizer: "SGD", Rate: 0.05, Momentum: 0.9, WarmUp: 0.3}
	netRecipe    = Recipe{Epochs: 10, Batch: 64, Loss: "cross-entropy", Optimizer: "Adam", Rate: 0.001}
	notesRecipe  = Recipe{Epochs: 10, Batch: 128, Loss: "cross-entropy", Optimizer: "Adam", Rate: 0.001}
	bookRecipe   = Recipe{Epochs: 10, Batch: 512, Loss: "cross-entropy", Smoothing: 0.2,
		Optimizer: "Muon", Rate: 0.016, Momentum: 0.6, Decay: 0.4, WarmUp: 0.05}
	speedRecipe = Recipe{Epochs: 12, Batch: 2000, Loss: "cross-entropy", Smoothing: 0.2,
		Optimizer: "Muon", Rate: 0.03, Momentum: 0.6, Turn: 0.24, Decay: 0.15, Linear: true}
)

// The photographs and the recipes of notebook 22: of five classes all, of five others a few.
var (
	photosKnown = halved("plane", "bird", "deer", "frog", "ship")
	photosFew   = few(50, halved("car", "cat", "dog", "horse", "truck"))

	knownRecipe = Recipe{Epochs: 6, Batch: 64, Loss: "cross-entropy", Optimizer: "Muon", Rate: 0.002, Decay: 0.15, WarmUp: 0.25}
	fewRecipe   = Recipe{Epochs: 30, Batch: 25, Loss: "cross-entropy", Optimizer: "Adam", Rate: 0.003, WarmUp: 0.25}
)

// halved are some classes of the photographs of notebook 12, moved and turned.
func halved(classes ...string) Data {
	d := photosHalf
	d.Classes, d.Tests, d.Crop, d.Flip = classes, 2000, 2, "alternate"
	return d
}

func few(n int, d Data) Data { d.PerClass = n; return d }

// photos are the photographs of notebook 13, so many of them, moved and turned.
func photos(first, crop int, flip string) Data {
	return Data{Set: "CIFAR-10", First: first, Crop: crop, Flip: flip,
		Mean: []float64{0.4914, 0.4822, 0.4465}, Std: []float64{0.2023, 0.1994, 0.2010}}
}

// mirrored has its border mirrored where a picture is moved.
func mirrored(d Data) Data { d.Reflects = true; return d }

func (r Recipe) epochs(n int) Recipe { r.Epochs = n; return r }

func (r Recipe) bfloat16() Recipe { r.Precision = "bfloat16"; return r }

// part is how many photographs show what batch norm and augmentation bring, for all of them would take hours.
const part = 5000

var (
	fc          = arm{"FC2Layer", Work{Network: "FC2Layer", Data: digitsPlain, Recipe: digitsRecipe}}
	fcPermuted  = arm{"FC2Layer, permuted", Work{Network: "FC2Layer", Data: digitsPermuted, Recipe: digitsRecipe}}
	cnn         = arm{"CNN", Work{Network: "CNN", Data: digitsPlain, Recipe: digitsRecipe}}
	cnnPermuted = arm{"CNN, permuted", Work{Network: "CNN", Data: digitsPermuted, Recipe: digitsRecipe}}
	net         = arm{"Net", Work{Network: "Net", Data: photosHalf, Recipe: netRecipe}}
	netBrief    = arm{"bfloat16", Work{Network: "Net", Data: photosHalf, Recipe: netRecipe.bfloat16()}}
	vggBrief    = arm{"bfloat16", Work{Network: "VGG16", Data: mirrored(photos(0, 2, "alternate")), Recipe: bookRecipe.epochs(3).bfloat16()}}
	netFew      = arm{"from nothing", Work{Network: "Net", Data: photosFew, Recipe: fewRecipe}}
	netStarted  = arm{"from trained weights", Work{Network: "Net", Data: photosFew, Recipe: fewRecipe, Start: &netKnown}}
	netFrozen   = arm{"all but the last layer frozen", Work{Network: "Net", Data: photosFew, Recipe: fewRecipe, Start: &netKnown, Freeze: []string{"*"}}}
	vggNotes    = arm{"the notes' recipe", Work{Network: "VGG16", Data: photos(0, 4, "random"), Recipe: notesRecipe}}
	vggBook     = arm{"the book's recipe", Work{Network: "VGG16", Data: mirrored(photos(0, 2, "alternate")), Recipe: bookRecipe}}
	vggHurried  = arm{"three epochs of the book's recipe", Work{Network: "VGG16", Data: mirrored(photos(0, 2, "alternate")), Recipe: bookRecipe.epochs(3)}}
	vggPart     = arm{"batch norm and augmentation", Work{Network: "VGG16", Data: photos(part, 4, "random"), Recipe: notesRecipe}}
	vggNoNorm   = arm{"without batch norm", Work{Network: withoutNorm, Data: photos(part, 4, "random"), Recipe: notesRecipe}}
	vggAsIs     = arm{"without augmentation", Work{Network: "VGG16", Data: photos(part, 0, ""), Recipe: notesRecipe}}
)

// speed is the training of notebook 15.
var speed = arm{"SpeedNet", Work{Network: "SpeedNet", Data: photosEven, Recipe: speedRecipe, Whiten: 5000}}

// leaving is the training of notebook 15 without one of what it consists of.
func leaving(name string, change func(*Work)) arm {
	w := speed.work
	change(&w)
	return arm{name, w}
}

// adam is Adam instead of the recipe's optimizer.
func adam(rate float64) func(*Work) {
	return func(w *Work) {
		r := &w.Recipe
		r.Optimizer, r.Rate, r.Momentum, r.Turn, r.Decay = "Adam", rate, 0, 0, 0
	}
}

// photosEven are the photographs of notebook 15, moved and turned.
var photosEven = Data{Set: "CIFAR-10", Crop: 2, Reflects: true, Flip: "alternate",
	Mean: []float64{0.4914, 0.4822, 0.4465}, Std: []float64{0.2470, 0.2435, 0.2616}}

var netKnown = Work{Network: "Net", Data: photosKnown, Recipe: knownRecipe, Seed: 1}

func towerArm(name string) arm {
	return arm{name, Work{Network: name, Data: digitsFew, Recipe: towerRecipe}}
}

var claims = []claim{
	{name: "cnn-beats-fc", where: "notebook 10", seeds: 10, peers: true,
		says: "With about the same number of parameters and the same training, the network that knows its input is a picture does better.",
		a:    cnn, b: fc, what: accuracy, rule: above(0)},
	{name: "fc-permuted", where: "notebook 11", seeds: 20, peers: true,
		says: "The fully connected network does not notice that the pixels are permuted.",
		a:    fcPermuted, b: fc, what: accuracy, rule: within(2)},
	{name: "cnn-permuted", where: "notebook 11", seeds: 10, peers: true,
		says: "The convolutional network loses more than ten points when the pixels are permuted.",
		a:    cnn, b: cnnPermuted, what: accuracy, rule: above(10)},
	{name: "fc-beats-cnn-permuted", where: "notebook 11", seeds: 10, peers: true,
		says: "On permuted pixels the CNN falls behind the network it had beaten.",
		a:    fcPermuted, b: cnnPermuted, what: accuracy, rule: above(0)},
	{name: "fc-as-pytorch", where: readme, seeds: 50,
		says: "FC2Layer's accuracy is that of PyTorch to within two points.", a: fc, what: accuracy, rule: within(2)},
	{name: "cnn-as-pytorch", where: readme, seeds: 10,
		says: "CNN's accuracy is that of PyTorch to within one point.", a: cnn, what: accuracy, rule: within(1)},
	{name: "net-as-pytorch", where: readme, seeds: 5,
		says: "Net's accuracy is that of PyTorch to within two points.", a: net, what: accuracy, rule: within(2)},

	{name: "residual-14", where: "notebook 06", seeds: 5,
		says: "A tower of 14 layers does better with a shortcut around each block.",
		a:    towerArm("residual-14"), b: towerArm("plain-14"), what: accuracy, rule: above(0)},
	{name: "residual-26", where: "notebook 06", seeds: 5,
		says: "A tower of 26 layers does better with a shortcut around each block.",
		a:    towerArm("residual-26"), b: towerArm("plain-26"), what: accuracy, rule: above(0)},
	{name: "residual-50", where: "notebook 06", seeds: 5,
		says: "A tower of 50 layers learns next to nothing without shortcuts.",
		a:    towerArm("residual-50"), b: towerArm("plain-50"), what: accuracy, rule: above(20)},
	{name: "plain-gets-worse", where: "notebook 06", seeds: 5,
		says: "The plain tower gets worse with height, and on the training images, too.",
		a:    towerArm("plain-50"), b: towerArm("plain-6"), what: trainLoss, rule: above(0)},
	{name: "height-costs-little", where: "notebook 06", seeds: 20,
		says: "With shortcuts, height costs next to nothing: 50 layers stay within two points of 14.",
		a:    towerArm("residual-50"), b: towerArm("residual-14"), what: accuracy, rule: within(2)},

	{name: "batch-norm", where: "notebook 13", seeds: 3,
		says: "Batch norm makes VGG16 easy to train (5,000 photographs, ten epochs).",
		a:    vggPart, b: vggNoNorm, what: accuracy, rule: above(0)},
	{name: "augmentation", where: "notebook 13", seeds: 3,
		says: "Images that are never the same twice keep VGG16 from learning the training images by heart (5,000 photographs, ten epochs).",
		a:    vggPart, b: vggAsIs, what: trainLoss, rule: above(0)},
	{name: "three-epochs", where: "notebook 13", seeds: 3,
		says: "Three epochs of the book's recipe pass the notes' 84.92 %.",
		a:    vggHurried, b: arm{name: "the notes"}, fixed: 84.92, what: accuracy, rule: above(0)},
	{name: "book-recipe", where: "notebook 13", seeds: 3, peers: true,
		says: "A better recipe takes the same network several points further in the same ten epochs.",
		a:    vggBook, b: vggNotes, what: accuracy, rule: above(3)},
	{name: "speed", where: "notebook 15", seeds: 3,
		says: "SpeedNet gets further than VGG16 does with the book's recipe.",
		a:    speed, b: vggBook, what: accuracy, rule: above(0)},
	{name: "speed-94", where: "notebook 15", seeds: 3,
		says: "SpeedNet reaches 94 % if it looks at each test image and at its mirror image.",
		a:    speed, b: arm{name: "the goal"}, fixed: 94, what: twoLooks, rule: reaching()},
	{name: "speed-shifts", where: "notebook 15", seeds: 3,
		says: "SpeedNet does better if the training images are shifted.",
		a:    speed, b: leaving("no shifts", func(w *Work) { w.Data.Crop, w.Data.Reflects = 0, false }), what: accuracy, rule: above(0)},
	{name: "speed-flips", where: "notebook 15", seeds: 3,
		says: "SpeedNet does better with flips that alternate than with random ones.",
		a:    speed, b: leaving("random flips", func(w *Work) { w.Data.Flip = "random" }), what: accuracy, rule: above(0)},
	{name: "speed-gelu", where: "notebook 15", seeds: 3,
		says: "ReLU instead of GELU costs SpeedNet less than a point.",
		a:    speed, b: leaving("ReLU", func(w *Work) { w.Network = withReLU }), what: accuracy, rule: within(1)},
	{name: "speed-smoothing", where: "notebook 15", seeds: 3,
		says: "Labels that are not smoothed cost SpeedNet less than a point.",
		a:    speed, b: leaving("labels not smoothed", func(w *Work) { w.Recipe.Smoothing = 0 }), what: accuracy, rule: within(1)},
	{name: "speed-whitening", where: "notebook 15", seeds: 3,
		says: "After its twelve epochs, SpeedNet is as good with a first layer that learns as with the whitening one.",
		a:    speed, b: leaving("first layer learned", func(w *Work) { w.Whiten = 0 }), what: accuracy, rule: within(0.5)},
	{name: "speed-muon", where: "notebook 15", seeds: 3,
		says: "Muon, with filters that keep their size and weight decay, takes SpeedNet more than three points further than Adam with a learning rate of 0.003.",
		a:    speed, b: leaving("Adam", adam(0.003)), what: accuracy, rule: above(3)},
	{name: "speed-turn", where: "notebook 15", seeds: 3,
		says: "SpeedNet does better if its filters keep their size.",
		a:    speed, b: leaving("filters of any size", func(w *Work) { w.Recipe.Turn = 0 }), what: accuracy, rule: above(0)},
	{name: "speed-batches", where: "notebook 15", seeds: 3,
		says: "Batches of 500 and half the learning rates cost SpeedNet less than a point.",
		a:    speed, b: leaving("batches of 500", func(w *Work) { w.Recipe.Batch, w.Recipe.Turn, w.Recipe.Rate = 500, 0.12, 0.015 }), what: accuracy, rule: within(1)},
	{name: "speed-line", where: "notebook 15", seeds: 3,
		says: "With its first learning rates kept to the end, SpeedNet loses more than five points.",
		a:    speed, b: leaving("a constant rate", func(w *Work) { w.Recipe.Linear = false }), what: accuracy, rule: above(5)},
	{name: "transfer", where: "notebook 22", seeds: 5,
		says: "With fifty photographs a class, a network that knows five other classes does better than one that starts from nothing.",
		a:    netStarted, b: netFew, what: accuracy, rule: above(0)},
	{name: "transfer-frozen", where: "notebook 22", seeds: 5,
		says: "With all but its last layer frozen, that network does worse than one that starts from nothing.",
		a:    netFew, b: netFrozen, what: accuracy, rule: above(0)},
	{name: "vgg16-as-pytorch", where: readme, seeds: 3,
		says: "VGG16's accuracy by the notes' recipe is that of PyTorch to within four points.", a: vggNotes, what: accuracy, rule: within(4)},
	{name: "vgg16-book-as-pytorch", where: readme, seeds: 3,
		says: "VGG16's accuracy by the book's recipe is that of PyTorch to within one point.", a: vggBook, what: accuracy, rule: within(1)},

	{name: "net-bfloat16", where: readme, seeds: 5,
		says: "Net does as well with convolutions in bfloat16.", a: netBrief, b: net, what: accuracy, rule: within(2)},
	{name: "vgg16-bfloat16", where: readme, seeds: 3,
		says: "VGG16 does as well with convolutions in bfloat16, after three epochs of the book's recipe.",
		a:    vggBrief, b: vggHurried, what: accuracy, rule: within(1)},
}

// by is the arm's training as one of the two does it.
func (a arm) by(who string) Work {
	w := a.work
	w.Who, w.Format = who, formats[who]
	if w.Start != nil {
		start := arm{work: *w.Start}.by(who)
		w.Start = &start
	}
	return w
}

// pair are two trainings whose means are compared, with what they are called.
type pair struct {
	who          string
	a, b         Work
	aName, bName string
}

// asPyTorch reports whether the claim compares a training with the same in PyTorch.
func (c claim) asPyTorch() bool { return c.b.name == "" }

// pairs are what the claim compares.
func (c claim) pairs() (all []pair) {
	if c.fixed != 0 {
		return []pair{{who: ours, a: c.a.by(ours), aName: c.a.name, bName: c.b.name}}
	}
	if c.asPyTorch() {
		return []pair{{ours, c.a.by(ours), c.a.by(peers), ours, peers}}
	}
	whos := []string{ours}
	if c.peers {
		whos = append(whos, peers)
	}
	for _, who := range whos {
		all = append(all, pair{who, c.a.by(who), c.b.by(who), c.a.name, c.b.name})
	}
	return all
}

// works are the trainings that the claim needs.
func (c claim) works() (all []Work) {
	for _, p := range c.pairs() {
		for _, w := range []Work{p.a, p.b} {
			if w.Network == "" {
				continue // a fixed number
			}
			for w.Seed = 1; w.Seed <= c.seeds; w.Seed++ {
				all = append(all, w)
			}
		}
	}
	return all
}

// judge decides by the rows there are.
func (c claim) judge(l *ledger) verdict {
	take := func(w Work, name string) (sampled, bool) {
		if w.Network == "" {
			return sampled{name: name, unit: c.what.unit, all: []float64{c.fixed}, fixed: true}, true
		}
		rows, whole := l.of(w, c.seeds)
		s := sampled{name: name, unit: c.what.unit}
		for _, r := range rows {
			s.all = append(s.all, c.what.of(r))
		}
		return s, whole
	}
	var sides []side
	for _, p := range c.pairs() {
		a, wholeA := take(p.a, p.aName)
		b, wholeB := take(p.b, p.bName)
		sides = append(sides, compare(p.who, a, b, wholeA && wholeB, c.rule))
	}
	return together(sides)
}
