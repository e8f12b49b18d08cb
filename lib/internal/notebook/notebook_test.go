package notebook_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/janpfeifer/gonb/gonbui/protocol"

	"example.org/convbook/lib/internal/notebook"
)

// Lines stay whole as text, and as a part of a page that says the same and breaks where it may.
func TestProse(t *testing.T) {
	c := notebook.Prose("a < b · 3 s", "中文 & more")
	if got := c.Data[protocol.MIMETextPlain]; got != "a < b · 3 s\n中文 & more" {
		t.Errorf("as text %q", got)
	}
	var page struct {
		Lines []struct {
			Parts []string `xml:"span"`
		} `xml:"div"`
	}
	if err := xml.Unmarshal([]byte("<page>"+c.Data[protocol.MIMETextHTML].(string)+"</page>"), &page); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range page.Lines {
		lines = append(lines, strings.Join(line.Parts, "|"))
	}
	if got := strings.Join(lines, "\n"); got != "a < b · |3 s\n中文 & more" {
		t.Errorf("as a page %q", got)
	}
}
