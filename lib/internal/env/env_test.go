package env

import "testing"

func TestFolder(t *testing.T) {
	const variable = "CONVBOOK_TEST_FOLDER"
	for _, dir := range []string{"", "/data", "/my data/我的书/~"} {
		t.Setenv(variable, dir)
		if got, err := Folder(variable); got != dir || err != nil {
			t.Errorf("Folder of %q = %q, %v", dir, got, err)
		}
	}
	for _, dir := range []string{"data", "./data", "../data", "~/data", " /data"} {
		t.Setenv(variable, dir)
		want := variable + "=" + dir + " is not an absolute path: set it to one that begins with /"
		if got, err := Folder(variable); got != "" || err == nil || err.Error() != want {
			t.Errorf("Folder of %q = %q, %v; want %q", dir, got, err, want)
		}
	}
}
