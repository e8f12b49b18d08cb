package device

import (
	"strings"
	"testing"
)

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
