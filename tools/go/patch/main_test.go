package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A change of one file, and a new file.
const fits = `Subject: Say more

Because.

diff --git a/say/say.go b/say/say.go
--- a/say/say.go
+++ b/say/say.go
@@ -1,3 +1,3 @@
 package say
 
-const A = 1
+const A = 2
diff --git a/say/more.go b/say/more.go
new file mode 100644
--- /dev/null
+++ b/say/more.go
@@ -0,0 +1 @@
+package say
`

func TestPatches(t *testing.T) {
	for _, c := range []struct{ about, patch, code, told string }{
		{"one that fits", fits, "package say\n\nconst A = 1\n", ""},
		{"one for another version", fits, "package say\n\nconst A = 3\n", "say.patch does not fit module: say/say.go: "},
		{"one that is there already", fits, "package say\n\nconst A = 2\n", "say.patch does not fit module: "},
		{"one without changes", "Subject: Nothing\n", "package say\n", "it has no changes"},
	} {
		folder := t.TempDir()
		from, to, patch := filepath.Join(folder, "module"), filepath.Join(folder, "copy"), filepath.Join(folder, "say.patch")
		for name, content := range map[string]string{
			patch:                                  c.patch,
			filepath.Join(from, "say", "say.go"):   c.code,
			filepath.Join(from, "docs", "say.txt"): "",
			filepath.Join(to, "say", "old.go"):     "package say\n",
		} {
			if err := write(name, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		err := run(from, to, []string{patch})
		if c.told != "" {
			if err == nil || !strings.Contains(err.Error(), c.told) {
				t.Errorf("%s: %v, want an error with %q", c.about, err, c.told)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
		}
		if got, _ := os.ReadFile(filepath.Join(to, "say", "say.go")); string(got) != "package say\n\nconst A = 2\n" {
			t.Errorf("%s: the file is %q", c.about, got)
		}
		names, _ := filepath.Glob(filepath.Join(to, "*", "*"))
		if len(names) != 2 || filepath.Base(names[0]) != "more.go" || filepath.Base(names[1]) != "say.go" {
			t.Errorf("%s: the copy has %v", c.about, names)
		}
	}
}
