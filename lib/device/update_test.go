package device

import (
	"strings"
	"testing"
)

// Calls of updates as go-xla writes them. Their numbers are tested in packages train and nn.
const (
	descentCall = `
  %20, %21 = "func.call"(%1, %2, %3, %4) { callee = @convbook_descent_3_3_6_48_3_3_6_48_3_3_6_48_6 } : ` +
		`(tensor<3x3x6x48xf32>, tensor<3x3x6x48xf32>, tensor<3x3x6x48xf32>, tensor<6xf32>) -> ` +
		`(tensor<3x3x6x48xf32>, tensor<3x3x6x48xf32>)
`
	adamCall = `
  %20, %21, %22 = "func.call"(%1, %2, %3, %5, %4) { callee = @convbook_adam_10_10_10_10_6 } : ` +
		`(tensor<10xf32>, tensor<10xf32>, tensor<10xf32>, tensor<10xf32>, tensor<6xf32>) -> ` +
		`(tensor<10xf32>, tensor<10xf32>, tensor<10xf32>)
`
	averageCall = `
  %20 = "func.call"(%1, %2, %4) { callee = @convbook_average_1_1_1_48_1_1_1_48 } : ` +
		`(tensor<1x1x1x48xf32>, tensor<1x1x1x48xf32>, tensor<f32>) -> tensor<1x1x1x48xf32>
`
)

// An update becomes a call of the plugin: its kind and size, and whose memory the results have. There is nobody else who
// could compute it, so one that cannot be read is an error.
func TestReadingUpdates(t *testing.T) {
	program := sanitized(t, "plugin/check/rewrite.c")
	alias := func(indices, operand string) string {
		return "#stablehlo.output_operand_alias<output_tuple_indices = [" + indices + "], operand_index = " + operand +
			", operand_tuple_indices = []>"
	}
	for _, c := range []struct{ text, call, plan, aliases string }{
		{descentCall, `%20, %21 = "stablehlo.custom_call"(%1, %2, %3, %4) {`, "0, 2592", alias("0", "0") + ", " + alias("1", "2")},
		{adamCall, `%20, %21, %22 = "stablehlo.custom_call"(%1, %2, %3, %5, %4) {`, "1, 10",
			alias("0", "0") + ", " + alias("1", "2") + ", " + alias("2", "3")},
		{replaced(t, adamCall, "adam", "adamw"), `"stablehlo.custom_call"(%1, %2, %3, %5, %4) {`, "2, 10", alias("2", "3")},
		{averageCall, `%20 = "stablehlo.custom_call"(%1, %2, %4) {`, "3, 48", alias("", "0")},
	} {
		for _, text := range []string{c.text, oneLine(c.text)} {
			rewritten, status := rewrite(t, program, text)
			for _, want := range []string{c.call, `call_target_name = "convbook.update"`, "{plan = array<i64: " + c.plan + ">}",
				"output_operand_aliases = [", c.aliases + "]\n}"} {
				if status != 0 || !strings.Contains(rewritten, want) {
					t.Errorf("status %d, %s, want %s", status, rewritten, want)
				}
			}
		}
		first := c.text[strings.Index(c.text, "(tensor"):strings.Index(c.text, "f32>")]
		for what, text := range map[string]string{
			"an unknown function": strings.Replace(c.text, "@convbook_", "@convbook_un", 1),
			"double precision":    strings.Replace(c.text, "f32>", "f64>", 1),
			"other sizes":         strings.Replace(c.text, first, "(tensor<7x", 1),
			"a size not known":    strings.ReplaceAll(c.text, first[7:], "<?x"),
			"huge sizes":          strings.ReplaceAll(c.text, first[7:], "<99999999999999999999x"),
			"an operand less":     strings.Replace(strings.Replace(c.text, ", %4)", ")", 1), ", tensor<6xf32>)", ")", 1),
			"too few numbers":     strings.NewReplacer("tensor<6xf32>", "tensor<4xf32>", "tensor<f32>", "tensor<0xf32>").Replace(c.text),
			"numbers in a square": strings.NewReplacer("tensor<6xf32>", "tensor<6x6xf32>", "tensor<f32>", "tensor<1x1xf32>").Replace(c.text),
			"another result":      c.text[:strings.LastIndex(c.text, "f32>")] + "f64>" + c.text[strings.LastIndex(c.text, "f32>")+4:],
		} {
			got, status := rewrite(t, program, text)
			if status != 1 || !strings.Contains(got, "cannot read the call in line 2 of the program") || strings.Count(got, "\n") != 1 {
				t.Errorf("%s: status %d, %q", what, status, got)
			}
		}
	}
}
