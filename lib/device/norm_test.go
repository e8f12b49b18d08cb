package device

import (
	"strings"
	"testing"
)

// A convolution with a bias, as go-xla writes the call, and its plan: that of the convolution above, with a ReLU.
const (
	endedCall = `
  %9 = "func.call"(%128, %state7, %5) { callee = @convbook_convolution_relu_1_1_16_7_7_64_3_3_64_96_1_1_1_96 } : ` +
		`(tensor<16x7x7x64xf32>, tensor<3x3x64x96xf32>, tensor<1x1x1x96xf32>) -> tensor<16x7x7x96xf32>
`
	endedPlan = "0, 3, 16, 64, 7, 7, 96, 64, 3, 3, 16, 96, 7, 7, " +
		"3136, 1, 448, 64, 1, 96, 18432, 6144, 4704, 1, 672, 96, 1, 1, 1, 1, 1, 1, 1, 1, 2"
)

// A convolution with a bias is handed over, or left to XLA, which has the function's body.
func TestReadingEndedConvolutions(t *testing.T) {
	program := sanitized(t, "plugin/check/rewrite.c")
	rewritten, status := rewrite(t, program, endedCall)
	if status != 0 || !strings.Contains(rewritten, "{plan = array<i64: "+endedPlan+">}") ||
		!strings.Contains(rewritten, `"stablehlo.custom_call"(%128, %state7, %5) {`) {
		t.Errorf("status %d, %s", status, rewritten)
	}
	bias := strings.TrimSuffix(endedPlan, "2") + "1"
	if rewritten, _ := rewrite(t, program, replaced(t, endedCall, "_relu_", "_")); !strings.Contains(rewritten, bias) {
		t.Errorf("without ReLU: %s", rewritten)
	}
	for what, text := range map[string]string{
		"sizes that do not fit": replaced(t, endedCall, "-> tensor<16x7x7x96xf32>", "-> tensor<16x9x9x96xf32>"),
		"a huge stride":         replaced(t, endedCall, "relu_1_1", "relu_99999999999999999999_1"),
		"no stride":             replaced(t, endedCall, "relu_1_1", "relu_0_1"),
		"other channels":        replaced(t, endedCall, "3x3x64x96", "3x3x63x96"),
	} {
		if rewritten, status := rewrite(t, program, text); status != 0 && !strings.Contains(rewritten, "cannot read the call") ||
			status == 0 && rewritten != text {
			t.Errorf("%s: status %d, %s", what, status, rewritten)
		}
	}
	for what, text := range map[string]string{
		"no numbers":       replaced(t, endedCall, "relu_1_1_", "relu_x_"),
		"double precision": replaced(t, endedCall, "96xf32", "96xf64"),
		"another bias":     replaced(t, endedCall, "1x1x1x96", "1x1x96x1"),
		"two operands":     replaced(t, replaced(t, endedCall, ", %5)", ")"), ", tensor<1x1x1x96xf32>)", ")"),
	} {
		if got, status := rewrite(t, program, text); status != 1 || !strings.Contains(got, "cannot read the call in line 2") {
			t.Errorf("%s: status %d, %q", what, status, got)
		}
	}
}

// Calls of batch norms as go-xla writes them. Their numbers are tested in package nn.
const (
	normCall = `
  %20, %21, %22 = "func.call"(%1, %2, %3, %4, %5) { callee = @convbook_batch_norm_relu_2_8_6_48 } : ` +
		`(tensor<2x8x6x48xf32>, tensor<1x1x1x48xf32>, tensor<1x1x1x48xf32>, tensor<2x1x1x1xf32>, tensor<f32>) -> ` +
		`(tensor<2x8x6x48xf32>, tensor<1x1x1x48xf32>, tensor<1x1x1x48xf32>)
`
	normGradientCall = `
  %30, %31, %32 = "func.call"(%1, %6, %2, %3, %21, %22, %4, %5) { callee = @convbook_batch_norm_gradient_2_8_6_48 } : ` +
		`(tensor<2x8x6x48xf32>, tensor<2x8x6x48xf32>, tensor<1x1x1x48xf32>, tensor<1x1x1x48xf32>, tensor<1x1x1x48xf32>, ` +
		`tensor<1x1x1x48xf32>, tensor<2x1x1x1xf32>, tensor<f32>) -> ` +
		`(tensor<2x8x6x48xf32>, tensor<1x1x1x48xf32>, tensor<1x1x1x48xf32>)
`
)

// A batch norm becomes a call of the plugin: its kind, whether a ReLU is behind it, batch, pixels and channels. There is
// nobody else who could compute it, so one that cannot be read is an error.
func TestReadingNorms(t *testing.T) {
	program := sanitized(t, "plugin/check/rewrite.c")
	for _, c := range []struct{ text, call string }{
		{normCall, `%20, %21, %22 = "stablehlo.custom_call"(%1, %2, %3, %4, %5) {` + "\n" +
			`api_version = 4 : i32, call_target_name = "convbook.norm", has_side_effect = false, ` +
			`backend_config = {plan = array<i64: 0, 1, 2, 48, 48>}, operand_layouts = [dense<[3, 2, 1, 0]>`},
		{normGradientCall, `"stablehlo.custom_call"(%1, %6, %2, %3, %21, %22, %4, %5) {` + "\n" +
			`api_version = 4 : i32, call_target_name = "convbook.norm", has_side_effect = false, ` +
			`backend_config = {plan = array<i64: 1, 0, 2, 48, 48>}, operand_layouts = [dense<[3, 2, 1, 0]>`},
	} {
		for _, text := range []string{c.text, oneLine(c.text)} {
			if rewritten, status := rewrite(t, program, text); status != 0 || !strings.Contains(rewritten, c.call) {
				t.Errorf("status %d, %s, want %s", status, rewritten, c.call)
			}
		}
		large := strings.NewReplacer("tensor<2x8x6x48xf32>", "tensor<50000x64x64x48xf32>", "2x1x1x1", "50000x1x1x1").Replace(c.text)
		if rewritten, status := rewrite(t, program, large); status != 0 || !strings.Contains(rewritten, " 50000, 4096, 48>}") {
			t.Errorf("a batch of 10^10 values: status %d, %s", status, rewritten)
		}
		for what, text := range map[string]string{
			"another function":     replaced(t, c.text, "@convbook_", "@book_"),
			"of another operation": replaced(t, c.text, "func.call", "book.call"),
			"a text":               `%1 = "book.note"() {text = "\"func.call\"(%1) {callee = @convbook_batch_norm_1"} : () -> i1`,
		} {
			if rewritten, status := rewrite(t, program, text); status != 0 || rewritten != text {
				t.Errorf("%s: status %d, %s", what, status, rewritten)
			}
		}
		for what, text := range map[string]string{
			"an unknown function":   replaced(t, c.text, "convbook_batch_norm", "convbook_layer_norm"),
			"double precision":      replaced(t, c.text, "48xf32>", "48xf64>"),
			"other channels":        replaced(t, c.text, "1x1x1x48", "1x1x1x47"),
			"other images":          replaced(t, c.text, "2x1x1x1", "3x1x1x1"),
			"a size not known":      replaced(t, c.text, "1x1x1x48", "1x1x1x?"),
			"huge sizes":            replaced(t, c.text, "48xf32", "99999999999999999999xf32"),
			"an operand less":       replaced(t, replaced(t, c.text, ", %5)", ")"), ", tensor<f32>)", ")"),
			"a result less":         replaced(t, c.text, ", tensor<1x1x1x48xf32>)\n", ")\n"),
			"a result without type": replaced(t, c.text, "tensor<1x1x1x48xf32>)\n", ")\n"),
		} {
			got, status := rewrite(t, program, text)
			if status != 1 || !strings.Contains(got, "cannot read the call in line 2 of the program") || strings.Count(got, "\n") != 1 {
				t.Errorf("%s: status %d, %q", what, status, got)
			}
		}
	}
}
