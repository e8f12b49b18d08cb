// Command weights reads and writes the weights of networks as PyTorch has them, and classifies photographs with those
// that torchvision publishes.
//
//	go run ./cmd/weights -network ResNet-18 -from resnet18.safetensors -check                  do they fit?
//	go run ./cmd/weights -network ResNet-18 -from resnet18.safetensors -picture cat.jpg        what is in the picture?
//	go run ./cmd/weights -network ResNet-18 -from resnet18.safetensors -to book.safetensors    for cmd/serve
//	go run ./cmd/weights -from RUN -to net.safetensors                                         for PyTorch
//
// A file is PyTorch's, a state dict, or the book's; -to writes the other kind. The book's is a run, named as in
// `make runs`, a file that one was exported to, or a run's model.safetensors. With weights for ImageNet's classes, -to
// writes a file as of an exported run, which cmd/classify and cmd/serve open, with other weights a model.safetensors.
//
// -network names a network of package zoo. A run or an exported file says itself of which network it is. -classes is
// 1000 for networks of ImageNet and 10 for others if not given, -width the filters or hidden units of SmallResNet, CNN
// and FC2Layer if they are not the usual.
//
// In Python, a state dict is written and read by
//
//	from safetensors.torch import load_file, save_file
//	save_file(net.state_dict(), "net.safetensors")
//	net.load_state_dict(load_file("net.safetensors"))
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"

	"example.org/convbook/cmd/internal/command"
	"example.org/convbook/lib/classify"
	"example.org/convbook/lib/nn"
	"example.org/convbook/lib/picture"
)

func main() { command.End(run(os.Args[1:], os.Stdout)) }

// request is what was asked for.
type request struct {
	network        string
	classes, width int
	from           string
	check          bool
	to, picture    string
}

func run(arguments []string, to io.Writer) (err error) {
	out := &command.Output{Writer: to}
	defer func() { err = cmp.Or(err, out.Err) }()
	c, err := parse(arguments, out)
	if err != nil {
		return err
	}
	var img image.Image
	if c.picture != "" {
		if img, err = picture.Open(c.picture); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(c.to); err == nil {
		return command.Wrong(fmt.Errorf("%s is there already: give -to another name, or remove it", c.to))
	}
	o, err := c.open()
	if err != nil {
		return command.Wrong(err)
	}
	if img != nil {
		return o.classify(out, img)
	}
	summary, err := nn.Summarize(o.Net, o.image...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: weights of %s, %d arrays with %d parameters\n",
		c.from, summary.Network, len(o.Weights), summary.Parameters())
	if c.check {
		return nil
	}
	kind, err := o.write(c.to, summary)
	if err == nil {
		fmt.Fprintf(out, "%s: the same, %s\n", c.to, kind)
	}
	return err
}

func parse(arguments []string, out io.Writer) (c request, err error) {
	flags := flag.NewFlagSet("weights", flag.ContinueOnError)
	flags.StringVar(&c.network, "network", "", "the `name` of the network in package zoo, such as ResNet-18")
	flags.IntVar(&c.classes, "classes", 0, "the `number` of classes: 1000 or 10 if it is not given")
	flags.IntVar(&c.width, "width", 0, "the `number` of filters or hidden units where a network takes one")
	flags.StringVar(&c.from, "from", "", "the `file` or run with the weights")
	flags.BoolVar(&c.check, "check", false, "say whether the weights fit the network")
	flags.StringVar(&c.to, "to", "", "write them into this `file`: PyTorch's as the book's, and the book's as PyTorch's")
	flags.StringVar(&c.picture, "picture", "", "classify the picture in this `file`, with a run or weights for ImageNet")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: weights [-network NAME [-classes N] [-width N]] -from FILE|RUN "+
			"-check | -to FILE | -picture FILE")
		flags.PrintDefaults()
	}
	if err := command.ParseSet(flags, arguments, out); err != nil {
		return c, err
	}
	return c, command.Wrong(c.checkFlags(flags))
}

// checkFlags makes sure that one thing is asked for, with what it needs.
func (c request) checkFlags(flags *flag.FlagSet) (err error) {
	asked := 0
	for _, is := range []bool{c.check, c.to != "", c.picture != ""} {
		if is {
			asked++
		}
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q stands alone: it needs -from, -to or -picture before it", flags.Arg(0))
	case c.from == "":
		return errors.New("-from is missing: it names a file or a run; -help lists the flags")
	case asked != 1:
		return errors.New("one of -check, -to and -picture says what is to be done")
	}
	flags.Visit(func(f *flag.Flag) {
		if (f.Name == "classes" || f.Name == "width") && f.Value.(flag.Getter).Get().(int) < 1 {
			err = fmt.Errorf("-%s is %v: it must be at least 1", f.Name, f.Value)
		}
	})
	return err
}

// top are the classes that are printed: ImageNet's second measure is the top-5 error.
const top = 5

// classify says what is in the picture.
func (o opened) classify(out io.Writer, img image.Image) error {
	if len(o.Input.Classes) == 0 {
		return command.Wrong(errors.New("-picture needs weights for ImageNet's classes, or a run: " +
			"a file of others does not name its classes"))
	}
	network, err := classify.Of(o.Model)
	if err != nil {
		return err
	}
	classes, err := network.Classify(img)
	if err != nil {
		return err
	}
	for _, class := range classes[:min(top, len(classes))] {
		fmt.Fprintf(out, "%5.1f %%  %s\n", 100*class.Probability, class.Name)
	}
	return nil
}
