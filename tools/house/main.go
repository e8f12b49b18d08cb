// Command house measures how simple the book's code is: `make house`.
//
// It reads the notebooks' cells and the Go files as they are, without types: a name counts as used where it is written
// behind its package's name, and a method where its name is written behind a dot anywhere else. What a network's
// convolution goes through is no reading of code: a convolution is added to a graph that notes for each of its nodes
// the functions that were being called.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const module = "example.org/convbook/"

// longest is the number of lines that a function should not exceed.
const longest = 60

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	cells, err := readCells()
	if err != nil {
		return err
	}
	files, err := readFiles()
	if err != nil {
		return err
	}
	countCells(cells)
	countHouse(files)
	countParsers(files, cells)
	countLengths(files)
	countUnused(files, cells)
	return countCalls()
}

func row(what string, count int, details ...string) {
	fmt.Printf("%-58s %6d", what, count)
	if len(details) > 0 {
		fmt.Printf("  %s", strings.Join(details, ", "))
	}
	fmt.Println()
}

// file is a Go file, or a cell as the program that the kernel makes of it.
type file struct {
	path    string // of its folder, from the clone: its package; a cell's is notebooks/10_mnist_fc_vs_cnn.ipynb[3]
	source  string
	isTest  bool
	set     *token.FileSet
	syntax  *ast.File
	imports map[string]string // packages of the book by the name that they have in the file
}

func parse(path, name, source string) (*file, error) {
	f := &file{path: path, source: source, set: token.NewFileSet(), imports: map[string]string{}}
	f.isTest = strings.HasSuffix(name, "_test.go")
	var err error
	if f.syntax, err = parser.ParseFile(f.set, name, source, parser.ParseComments); err != nil {
		return nil, err
	}
	for _, spec := range f.syntax.Imports {
		full := strings.Trim(spec.Path.Value, `"`)
		if own, ok := strings.CutPrefix(full, module); ok {
			name := filepath.Base(own)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			f.imports[name] = own
		}
	}
	return f, nil
}

func (f *file) lines(node ast.Node) int {
	return f.set.Position(node.End()).Line - f.set.Position(node.Pos()).Line + 1
}

func readFiles() (all []*file, err error) {
	for _, root := range []string{"lib", "cmd", "tools"} {
		err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f, err := parse(filepath.Dir(path), path, string(source))
			all = append(all, f)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// kernelLines are lines for the kernel and for a shell.
var kernelLines = regexp.MustCompile(`(?m)^[%!].*$`)

func readCells() (all []*file, err error) {
	paths, err := filepath.Glob("notebooks/*.ipynb")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var notebook struct {
			Cells []struct {
				Kind   string `json:"cell_type"`
				Source lines  `json:"source"`
			}
		}
		if err := json.Unmarshal(content, &notebook); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for i, cell := range notebook.Cells {
			if cell.Kind != "code" {
				continue
			}
			name, source := fmt.Sprintf("%s[%d]", path, i), string(cell.Source)
			head, body, _ := strings.Cut("\n"+source, "\n%%\n")
			program := "package p\n" + kernelLines.ReplaceAllString(head, "") + "\nfunc main() {\n" + body + "\n}\n"
			f, err := parse(name, name, program)
			if err != nil {
				return nil, err
			}
			f.source = source
			all = append(all, f)
		}
	}
	return all, err
}

// lines are a text that Jupyter may have cut into lines.
type lines string

func (l *lines) UnmarshalJSON(data []byte) error {
	var several []string
	if json.Unmarshal(data, &several) == nil {
		*l = lines(strings.Join(several, ""))
		return nil
	}
	return json.Unmarshal(data, (*string)(l))
}

func countCells(cells []*file) {
	total, long := 0, 0
	most := cells[0]
	length := func(c *file) int { return strings.Count(c.source, "\n") + 1 }
	for _, c := range cells {
		total += length(c)
		if length(c) > 30 {
			long++
		}
		if length(c) > length(most) {
			most = c
		}
	}
	row("code cells", len(cells))
	row("lines of cells", total)
	row("cells of more than 30 lines", long)
	row("longest cell, lines", length(most), most.path)
	for _, pattern := range []struct{ what, expression string }{
		{"cells: .Open()", `\.Open\(\)`},
		{"cells: must.Do(err), cell.OK(err)", `\b(must\.Do|cell\.OK)\(err\)`},
		{"cells: a check written as an error, must.Do(fmt.Errorf(", `\b(must\.Do|cell\.OK)\((fmt\.Errorf|errors\.New)\(`},
		{"cells: hand-aligned tables, lines with Printf(\"%-", `\.Printf\("[^"]*%-\d`},
	} {
		count := 0
		for _, c := range cells {
			count += len(regexp.MustCompile(pattern.expression).FindAllString(c.source, -1))
		}
		row(pattern.what, count)
	}
}

// countHouse counts the packages of lib and the arrows between them.
func countHouse(files []*file) {
	packages, arrows := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		if !strings.HasPrefix(f.path, "lib/") || f.isTest {
			continue
		}
		packages[f.path] = true
		for _, to := range f.imports {
			arrows[f.path+" "+to] = true
		}
	}
	row("packages in lib", len(packages))
	row("imports between them", len(arrows))
}

// foreign are packages and files that take apart texts of others, which nobody can make fields of.
var foreign = map[string]string{
	"lib/dataset/internal/origin": "npm's list of files",
	"lib/train/internal/store":    "sums as sha256sum writes them, and names of folders",
	"lib/device":                  "the kernel's and PJRT's lines about the machine",
	"lib/internal/env":            "the environment",
	"lib/cell/table.go":           "what a cell writes into a table",
	"lib/figure/bars.go":          "captions",
	"lib/figure/flow.go":          "captions",
	"lib/figure/text.go":          "captions",
	"cmd/claims":                  "the book's prose, and the machine's description",
	"cmd/faults":                  "/proc",
	"cmd/runs":                    "a time on the command line",
	"tools/house":                 "notebooks and Go files",
}

// takesApart are functions that find something in a text.
var takesApart = strings.Fields(`strings.Cut strings.CutPrefix strings.CutSuffix strings.Fields strings.Split strings.SplitN
	fmt.Sscanf fmt.Sscan regexp.MustCompile`)

// countParsers counts where a text is taken apart that the library itself has written. Cutting a text into its lines or
// characters does not count.
func countParsers(files, cells []*file) {
	var found []string
	for _, f := range slices.Concat(files, cells) {
		name := f.set.Position(f.syntax.Pos()).Filename
		if f.isTest || foreign[f.path] != "" || foreign[name] != "" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains(takesApart, fmt.Sprint(s.X, ".", s.Sel)) && !slices.ContainsFunc(call.Args, isPlain) {
				found = append(found, fmt.Sprintf("%s:%d", filepath.Base(name), f.set.Position(n.Pos()).Line))
			}
			return true
		})
	}
	row("texts taken apart by strings.Cut and the like, regexp", len(found), found...)
}

func isPlain(e ast.Expr) bool {
	text, ok := e.(*ast.BasicLit)
	return ok && (text.Value == `"\n"` || text.Value == `""`)
}

func countLengths(files []*file) {
	type function struct {
		name  string
		lines int
	}
	var all []function
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && !f.isTest {
				all = append(all, function{filepath.Base(f.path) + "." + d.Name.Name, f.lines(d)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b function) int { return cmp.Compare(b.lines, a.lines) })
	row("longest function, lines", all[0].lines, all[0].name)
	var over []string
	for _, f := range all {
		if f.lines > longest {
			over = append(over, fmt.Sprintf("%s %d", f.name, f.lines))
		}
	}
	row(fmt.Sprintf("functions of more than %d lines", longest), len(over), over...)
}

// standard are methods that others call by an interface of the standard library.
var standard = strings.Fields("String Error Unwrap MarshalJSON UnmarshalJSON At Bounds ColorModel Len Less Swap Read Write Close")

// countUnused counts the exported names of lib that nothing outside of their package and its tests uses. A type is used
// where what others use has it: as a function's result, or in a field.
func countUnused(files, cells []*file) {
	used := map[string]bool{} // lib/nn.Conv; .Apply
	for _, f := range slices.Concat(files, cells) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, _ := s.X.(*ast.Ident)
			own := ""
			if x != nil {
				own = f.imports[x.Name]
			}
			switch {
			case own != "" && own != f.path:
				used[own+"."+s.Sel.Name] = true
			case x != nil && strings.HasPrefix(f.path, "notebooks/"): // imports are in another cell
				used[x.Name+"."+s.Sel.Name] = true
				fallthrough
			default:
				used[f.path+" ."+s.Sel.Name] = true
			}
			return true
		})
	}
	mentioned := mentionedIn(files)
	var unused []string
	for _, f := range files {
		if !strings.HasPrefix(f.path, "lib/") || f.isTest {
			continue
		}
		for _, name := range exported(f) {
			method, isMethod := strings.CutPrefix(name, ".")
			isUsed := used[f.path+"."+name] || used[filepath.Base(f.path)+"."+name]
			if isMethod {
				isUsed = slices.Contains(standard, method)
				for use := range used {
					where, selector, ok := strings.Cut(use, " ")
					isUsed = isUsed || ok && selector == name && where != f.path
				}
			}
			if !isUsed && !mentioned[f.path+"."+name] {
				unused = append(unused, filepath.Base(f.path)+"."+strings.TrimPrefix(name, "."))
			}
		}
	}
	slices.Sort(unused)
	row("exported names that nothing outside uses", len(unused), slices.Compact(unused)...)
}

// mentionedIn are the names in signatures of exported functions and in exported declarations, as lib/nn.LayerInfo.
func mentionedIn(files []*file) map[string]bool {
	found := map[string]bool{}
	for _, f := range files {
		if f.isTest {
			continue
		}
		note := func(inside ast.Node, but *ast.Ident) {
			ast.Inspect(inside, func(n ast.Node) bool {
				if name, ok := n.(*ast.Ident); ok && name != but {
					found[f.path+"."+name.Name] = true
				}
				return true
			})
		}
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() {
					note(d.Type, nil)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok && spec.Name.IsExported() {
						note(spec, spec.Name)
					}
				}
			}
		}
	}
	return found
}

// exported are the exported names that a file declares; a method's begins with a dot.
func exported(f *file) (names []string) {
	add := func(prefix string, name *ast.Ident) {
		if name.IsExported() {
			names = append(names, prefix+name.Name)
		}
	}
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add("", d.Name)
			} else if ast.IsExported(receiver(d.Recv.List[0].Type)) {
				add(".", d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add("", spec.Name)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						add("", name)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
