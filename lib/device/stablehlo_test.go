package device

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"
)

// These are the tests of plugin/stablehlo.c, which reads programs, and of what judge.c and rewrite.c make of them.

// sanitized compiles a program of plugin/ with the compiler's sanitizers, which notice what goes wrong in C.
func sanitized(t *testing.T, source string) (program string) {
	t.Helper()
	return compiled(t, source, "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
}

// compiled compiles a program of plugin/.
func compiled(t *testing.T, source string, options ...string) (program string) {
	t.Helper()
	venv, err := filepath.Abs("../../.venv")
	if err != nil {
		t.Fatal(err)
	}
	pjrt, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}/pjrt", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "program")
	args := append([]string{"-g", "-std=gnu11", `-DREAL_PLUGIN=""`, `-DREAL_PLUGIN_SUM=""`, "-I" + strings.TrimSpace(string(pjrt)),
		"-I" + filepath.Join(venv, "include"), "-o", program, source}, options...)
	if !strings.HasSuffix(source, "kept.c") {
		needOneDNN(t)
		args = append(args, "-L"+filepath.Join(venv, "lib"), "-ldnnl", "-lgomp", "-lm", "-Wl,-rpath,"+filepath.Join(venv, "lib"))
	}
	if output, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return program
}

// needOneDNN skips a test where there is no oneDNN. On the machines that the book is for there always is.
func needOneDNN(t *testing.T) {
	t.Helper()
	if os.Getenv("CONVBOOK_ONEDNN") == "off" {
		t.Skip("CONVBOOK_ONEDNN is off")
	}
	if _, err := os.Stat("../../.venv/lib/convbook/onednn.so"); err == nil {
		return
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		t.Fatal("oneDNN is missing: run `make setup`")
	}
	t.Skip("there is no oneDNN for this machine")
}

// The three kinds of convolutions, as go-xla writes them, and their plans, worked out by hand: the kind; the type, which
// oneDNN numbers 3; the sizes of x, w and y; the distances of their values; stride, dilation, padding before and after.
const (
	forward = `
func.func @main(%128: tensor<16x7x7x64xf32>, %state7: tensor<3x3x64x96xf32>) -> tensor<16x7x7x96xf32> {
  %129 = "stablehlo.convolution"(%128, %state7) {
    batch_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>,
    feature_group_count = 1 : i64,
    lhs_dilation = array<i64: 1, 1>,
    padding = dense<[[1, 1], [1, 1]]> : tensor<2x2xi64>,
    precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],
    rhs_dilation = array<i64: 1, 1>,
    window_reversal = array<i1: false, false>,
    window_strides = array<i64: 1, 1>
  } : (tensor<16x7x7x64xf32>, tensor<3x3x64x96xf32>) -> tensor<16x7x7x96xf32>
  "stablehlo.return"(%129) : (tensor<16x7x7x96xf32>) -> ()
}
`
	forwardPlan = "0, 3, 16, 64, 7, 7, 96, 64, 3, 3, 16, 96, 7, 7, " +
		"3136, 1, 448, 64, 1, 96, 18432, 6144, 4704, 1, 672, 96, 1, 1, 1, 1, 1, 1, 1, 1, 0"

	byImages = `
  %1470 = "stablehlo.reverse"(%state78) { dimensions = array<i64: 0, 1> } : (tensor<3x3x64x128xf32>) -> tensor<3x3x64x128xf32>
  %1471 = "stablehlo.convolution"(%1461, %1470) {
    batch_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, o, i]->[b, 0, 1, f]>,
    feature_group_count = 1 : i64,
    lhs_dilation = array<i64: 2, 2>,
    padding = dense<[[1, 2], [1, 2]]> : tensor<2x2xi64>,
    precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],
    rhs_dilation = array<i64: 1, 1>,
    window_reversal = array<i1: false, false>,
    window_strides = array<i64: 1, 1>
  } : (tensor<16x4x4x128xf32>, tensor<3x3x64x128xf32>) -> tensor<16x8x8x64xf32>
`
	byImagesPlan = "1, 3, 16, 64, 8, 8, 128, 64, 3, 3, 16, 128, 4, 4, " +
		"4096, 1, 512, 64, 1, 128, 24576, 8192, 2048, 1, 512, 128, 2, 2, 1, 1, 1, 1, 0, 0, 0"

	byWeights = `
  %1472 = "stablehlo.convolution"(%810, %1461) {
    batch_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[f, 0, 1, b]x[i, 0, 1, o]->[0, 1, b, f]>,
    feature_group_count = 1 : i64,
    lhs_dilation = array<i64: 1, 1>,
    padding = dense<[[1, 0], [1, 0]]> : tensor<2x2xi64>,
    precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>],
    rhs_dilation = array<i64: 2, 2>,
    window_reversal = array<i1: false, false>,
    window_strides = array<i64: 1, 1>
  } : (tensor<16x8x8x64xf32>, tensor<16x4x4x128xf32>) -> tensor<3x3x64x128xf32>
`
	byWeightsPlan = "2, 3, 16, 64, 8, 8, 128, 64, 3, 3, 16, 128, 4, 4, " +
		"4096, 1, 512, 64, 1, 128, 24576, 8192, 2048, 1, 512, 128, 2, 2, 1, 1, 1, 1, 0, 0, 0"
)

// replaced is a program with something else in one place.
func replaced(t *testing.T, program, old, new string) string {
	t.Helper()
	if strings.Count(program, old) == 0 {
		t.Fatalf("there is no %q to be replaced", old)
	}
	return strings.ReplaceAll(program, old, new)
}

// oneLine is a program whose attributes and operations are not on lines of their own.
func oneLine(program string) string {
	return strings.Join(strings.Fields(program), " ")
}

// backwards is a program with the attributes of its convolution in the opposite order.
func backwards(program string) string {
	lines := strings.Split(program, "\n")
	var attributes []int
	for i, line := range lines {
		if strings.HasPrefix(line, "    ") {
			attributes = append(attributes, i)
			lines[i] = strings.TrimSuffix(line, ",")
		}
	}
	for i, j := 0, len(attributes)-1; i < j; i, j = i+1, j-1 {
		lines[attributes[i]], lines[attributes[j]] = lines[attributes[j]], lines[attributes[i]]
	}
	for _, i := range attributes[:len(attributes)-1] {
		lines[i] += ","
	}
	return strings.Join(lines, "\n")
}

func TestReadingConvolutions(t *testing.T) {
	program := sanitized(t, "plugin/check/rewrite.c")
	t.Run("however they are written", func(t *testing.T) { howeverWritten(t, program) })
	t.Run("in bfloat16", func(t *testing.T) { inBFloat16(t, program) })
	t.Run("left to XLA", func(t *testing.T) { leftToXLA(t, program) })
	t.Run("in place", func(t *testing.T) { inPlace(t, program) })
	t.Run("unreadable", func(t *testing.T) { unreadable(t, program) })
}

// However a program is written, its convolutions become the same calls.
func howeverWritten(t *testing.T, program string) {
	spaces := regexp.MustCompile(`[ ,:<>()={}\[\]]`)
	note := `  %5 = "book.note"(%4) {text = "\"stablehlo.convolution\"(%1, %2) {padding = dense<9>", window_reversal = true} : (i1) -> i1` + "\n"
	for _, c := range []struct{ name, text, plan, operands string }{
		{"forward", forward, forwardPlan, "%128, %state7"},
		{"by the images", byImages, byImagesPlan, "%1461, %state78"},
		{"by the weights", byWeights, byWeightsPlan, "%810, %1461"},
	} {
		for what, text := range map[string]string{
			"as go-xla writes it":    c.text,
			"more spaces":            spaces.ReplaceAllString(strings.ReplaceAll(c.text, "->", " \t-> "), "$0  "),
			"fewer spaces":           regexp.MustCompile(`([,:=({]) `).ReplaceAllString(c.text, "$1"),
			"on one line":            oneLine(c.text),
			"attributes backwards":   backwards(c.text),
			"true before it":         `  %4 = "stablehlo.constant"() { value = dense<true> : tensor<i1> } : () -> tensor<i1>` + c.text,
			"true behind it":         replaced(t, c.text, "array<i64: 1, 1>\n", "array<i64: 1, 1> // true\n"),
			"in a string":            note + c.text + note,
			"comments":               replaced(t, c.text, ",\n", ", // \"stablehlo.convolution\"(, padding = {\n"),
			"properties":             replaced(t, replaced(t, c.text, ") {\n", ") <{\n"), "\n  } : (", "\n  }> : ("),
			"without the precision":  regexp.MustCompile(`\n *precision_config.*`).ReplaceAllString(c.text, ""),
			"without a reversal":     regexp.MustCompile(`\n *window_reversal.*`).ReplaceAllString(c.text, ""),
			"a place behind it":      replaced(t, c.text, "f32>\n", "f32> loc(\"x\")\n"),
			"two operations, at end": c.text + `  %9, %10 = "book.note"(%1) : (i1) -> (i1, i1)`,
		} {
			rewritten, status := rewrite(t, program, text)
			call := `"stablehlo.custom_call"(` + c.operands + ") {\n"
			if what == "more spaces" {
				call = strings.ReplaceAll(call, "  ", " ")
			}
			if status != 0 || !strings.Contains(rewritten, "array<i64: "+c.plan+">") || !strings.Contains(rewritten, call) {
				t.Errorf("%s, %s: status %d, %s\nof %s", c.name, what, status, rewritten, text)
			}
			if strings.Count(rewritten, "convbook.convolution") != 1 {
				t.Errorf("%s, %s: not one call: %s", c.name, what, rewritten)
			}
		}
	}
	splat := replaced(t, forward, "dense<[[1, 1], [1, 1]]>", "dense<1>")
	if rewritten, _ := rewrite(t, program, splat); !strings.Contains(rewritten, forwardPlan) {
		t.Errorf("one number for all paddings: %s", rewritten)
	}
}

// Convolutions in bfloat16, which oneDNN numbers 2, are handed over where the processor multiplies it.
func inBFloat16(t *testing.T, program string) {
	for _, c := range []struct{ text, plan string }{
		{forward, forwardPlan}, {byImages, byImagesPlan}, {byWeights, byWeightsPlan},
	} {
		rewritten, status := rewrite(t, program, strings.ReplaceAll(c.text, "xf32>", "xbf16>"))
		plan := strings.Replace(c.plan, ", 3,", ", 2,", 1)
		if handed := strings.Contains(rewritten, plan); status != 0 || handed != cpu.X86.HasAVX512BF16 {
			t.Errorf("status %d, handed over: %v, %s", status, handed, rewritten)
		}
	}
}

// rewrite runs the program that rewrites.
func rewrite(t *testing.T, program, text string) (rewritten string, status int) {
	t.Helper()
	run := exec.Command(program)
	run.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0") // what oneDNN makes lives as long as the process
	run.Stdin = strings.NewReader(text)
	output, err := run.CombinedOutput()
	if status = run.ProcessState.ExitCode(); err != nil && status != 1 {
		t.Fatalf("%v: %s", err, output)
	}
	return string(output), status
}

// What oneDNN has no fast code for, or would compute otherwise, is left to XLA as it is.
func leftToXLA(t *testing.T, program string) {
	for what, text := range map[string]string{
		"double precision":      replaced(t, forward, "xf32>", "xf64>"),
		"half precision":        replaced(t, forward, "xf32>", "xf16>"),
		"two types":             replaced(t, forward, "96xf32>", "96xbf16>"),
		"complex numbers":       replaced(t, forward, "xf32>", "xcomplex<f32>>"),
		"a size not known":      replaced(t, forward, "<16x7x7", "<?x7x7"),
		"groups":                replaced(t, forward, "feature_group_count = 1", "feature_group_count = 2"),
		"groups of the batch":   replaced(t, forward, "batch_group_count = 1", "batch_group_count = 2"),
		"a reversed window":     replaced(t, forward, "<i1: false, false>", "<i1: false, true>"),
		"another layout":        replaced(t, forward, "[b, 0, 1, f]x", "[b, f, 0, 1]x"),
		"three axes of a map":   "%1 = \"stablehlo.convolution\"(%2, %3) {window_strides = array<i64: 1>} : (tensor<1x2x3xf32>, tensor<1x2x3xf32>) -> tensor<1x2x3xf32>",
		"a distribution":        replaced(t, forward, "{\n    batch", "{\n    sdy.sharding = #sdy.x<@mesh, [{}]>,\n    batch"),
		"sizes that do not fit": replaced(t, forward, "tensor<16x7x7x96xf32>", "tensor<16x9x9x96xf32>"),
		"huge sizes":            replaced(t, forward, "64xf32>", "99999999999999999999xf32>"),
		"a huge stride":         replaced(t, forward, "window_strides = array<i64: 1, 1>", "window_strides = array<i64: 1, 9999999999999>"),
		"stretched images":      replaced(t, byImages, `"stablehlo.reverse"`, `"stablehlo.negate"`), // not the gradient
		"another reversal":      replaced(t, byImages, "{ dimensions = array<i64: 0, 1> }", "{ dimensions = array<i64: 0> }"),
		"channels reversed": replaced(t, replaced(t, byImages, "x[0, 1, o, i]", "x[o, i, 0, 1]"),
			"3x3x64x128", "64x128x3x3"),
		"a reversal of another function": replaced(t, byImages, "  %1471 =",
			"}\nfunc.func @next(%1470: tensor<3x3x64x128xf32>) -> tensor<16x8x8x64xf32> {\n  %1471 ="),
		"an argument of that name": replaced(t, byImages, "  %1471 =", "^block(%1470: tensor<3x3x64x128xf32>):\n  %1471 ="),
		"a result of that name":    replaced(t, byImages, "  %1471 =", "%1470 = \"book.x\"(%3) : (i1) -> i1\n  %1471 ="),
		"results of that name":     replaced(t, byImages, "  %1471 =", "%1, %1470, %2:2 = \"book.x\"(%3) : (i1) -> i1\n  %1471 ="),
		"many of that name":        replaced(t, byImages, "  %1471 =", "%1470:2 = \"book.x\"(%3) : (i1) -> i1\n  %1471 ="),
		"a text":                   `%1 = "book.note"() {text = "\"stablehlo.convolution\"(%1) {", "stablehlo.convolution" = 1} : () -> i1`,
		"a name":                   `%1 = "func.call"(%2) {callee = @"stablehlo.convolution", x = @stablehlo.convolution} : (i1) -> i1`,
		"no operation":             "module {}",
		"nothing":                  "",
	} {
		if rewritten, status := rewrite(t, program, text); status != 0 || rewritten != text {
			t.Errorf("%s: status %d, %s", what, status, rewritten)
		}
	}
}

// A program that is named for it says of its first arguments that the first results are in their memory.
func inPlace(t *testing.T, program string) {
	const (
		text = "module @convbook_in_place_2_train {\nfunc.func @main(%a: tensor<3xui64>, %b: tensor<f32>, %input0: tensor<2xi32>) -> " +
			"(tensor<3xui64>, tensor<f32>, tensor<9xf32>) {\n}\nfunc.func @main(%a: i1) -> i1 {}\n}"
		want = "module @convbook_in_place_2_train {\nfunc.func @main(%a: tensor<3xui64> {tf.aliasing_output = 0 : i32}, " +
			"%b: tensor<f32> {tf.aliasing_output = 1 : i32}, %input0: tensor<2xi32>) -> " +
			"(tensor<3xui64>, tensor<f32>, tensor<9xf32>) {\n}\nfunc.func @main(%a: i1) -> i1 {}\n}"
	)
	if got, status := rewrite(t, program, text); status != 0 || got != want {
		t.Errorf("status %d, %s", status, got)
	}
	for what, text := range map[string]string{
		"another name":   replaced(t, text, "convbook_in_place_2", "train_convbook_in_place_2"),
		"no variables":   replaced(t, text, "place_2", "place_0"),
		"no number":      replaced(t, text, "place_2", "place_x"),
		"not the module": replaced(t, text, "module @", "module @x attributes {a = @y} {} @"),
	} {
		if got, status := rewrite(t, program, text); status != 0 || got != text {
			t.Errorf("%s: status %d, %s", what, status, got)
		}
	}
	for what, text := range map[string]string{
		"too many":        replaced(t, text, "place_2", "place_4"),
		"very many":       replaced(t, text, "place_2", "place_99999999999999999999"),
		"another type":    replaced(t, text, "tensor<f32>, tensor<9", "tensor<2xf32>, tensor<9"),
		"no results":      replaced(t, text, " -> (tensor<3xui64>, tensor<f32>, tensor<9xf32>)", ""),
		"one result":      replaced(t, text, "(tensor<3xui64>, tensor<f32>, tensor<9xf32>)", "tensor<3xui64>"),
		"other arguments": replaced(t, text, "tensor<f32>, %in", "tensor<f32> {sdy.sharding = 1}, %in"),
		"no names":        replaced(t, text, "%a: tensor", "tensor"),
		"the end in it":   text[:80],
	} {
		if got, status := rewrite(t, program, text); status != 1 ||
			!strings.Contains(got, "cannot read the main function in line 2 of the program") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: status %d, %s", what, status, got)
		}
	}
}

// A convolution that cannot be read is an error of one line that says where it is, what is wrong, and what to do: if it
// were left to XLA, all trainings would become slow, and nobody would know why.
func unreadable(t *testing.T, program string) {
	for what, c := range map[string]struct{ text, want string }{
		"an array of another kind": {replaced(t, forward, "window_strides = array<i64: 1, 1>", "window_strides = dense<1> : tensor<2xi64>"),
			"cannot read the convolution in line 3 of the program (%129): window_strides: set CONVBOOK_ONEDNN=off"},
		"padding without a type":   {replaced(t, forward, " : tensor<2x2xi64>", ""), "(%129): padding"},
		"padding of three":         {replaced(t, forward, "[[1, 1], [1, 1]]", "[1, 1, 1]"), "(%129): padding"},
		"padding in hexadecimal":   {replaced(t, forward, "[[1, 1], [1, 1]]", `"0x01"`), "(%129): padding"},
		"a new attribute":          {replaced(t, forward, "batch_group_count", "result_scale = 2 : i64, batch_group_count"), "(%129): result_scale"},
		"a missing attribute":      {replaced(t, forward, "feature_group_count = 1 : i64,", ""), "(%129): feature_group_count"},
		"axes written otherwise":   {replaced(t, forward, "#stablehlo.conv<", "#stablehlo.axes<"), "(%129): dimension_numbers"},
		"other names of axes":      {replaced(t, forward, "[b, 0, 1, f]x", "[n, 0, 1, c]x"), "(%129): dimension_numbers"},
		"another type":             {replaced(t, forward, "tensor<16x7x7x64xf32>", "memref<16x7x7x64xf32>"), "(%129): memref<16x7x7x64xf32>"},
		"one operand":              {replaced(t, forward, "(%128, %state7)", "(%128)"), "(%129): it has more operands than types, or fewer"},
		"three operands":           {replaced(t, forward, "(%128, %state7)", "(%128, %state7, %1)"), "(%129): it has more operands than types, or fewer"},
		"nine operands":            {replaced(t, forward, "(%128, %state7)", "(%128"+strings.Repeat(", %1", 8)+")"), "(%129): it has too many operands"},
		"no types":                 {replaced(t, forward, "} : (tensor", "} (tensor"), "(%129): its types are missing"},
		"the short form":           {"%1 = stablehlo.convolution(%2, %3) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]", "(%1): it has no quotes"},
		"the end in it":            {forward[:len(forward)/2], "cannot read the convolution in line 3"},
		"brackets that do not fit": {replaced(t, forward, "dense<[[1, 1], [1, 1]]>", "dense<[[1, 1], [1, 1>]]"), "(%129): an attribute has no value"},
		"a reversal otherwise":     {replaced(t, byImages, "array<i64: 0, 1> }", "dense<[0, 1]> : tensor<2xi64> }"), "cannot read the reversal in line 2 of the program (%1470): dimensions"},
		"a short reversal":         {replaced(t, byImages, `"stablehlo.reverse"(%state78) { dimensions = array<i64: 0, 1> }`, "stablehlo.reverse %state78, dims = [0, 1]"), "cannot read the reversal in line 2"},
		"no text":                  {"ML\xefR\x00\x01" + forward, "cannot read the program, which is not text"},
	} {
		got, status := rewrite(t, program, c.text)
		if status != 1 || !strings.Contains(got, c.want) || !strings.Contains(got, "set CONVBOOK_ONEDNN=off to compute without oneDNN") ||
			strings.Count(got, "\n") != 1 {
			t.Errorf("%s: status %d, %q, want %q", what, status, got, c.want)
		}
	}
}
