package plan

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Dot writes nodes as a graph in the DOT language of Graphviz; an arrow points at what is needed.
func Dot(w io.Writer, nodes []*Node) error {
	in := map[*Node]bool{}
	for _, n := range nodes {
		in[n] = true
	}
	var b strings.Builder
	b.WriteString("digraph mariner {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n")
	for _, n := range nodes {
		fmt.Fprintf(&b, "  %q;\n", n.Name())
		for _, m := range n.Needs {
			if in[m] {
				fmt.Fprintf(&b, "  %q -> %q;\n", n.Name(), m.Name())
			}
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// SVG writes nodes as a drawing: a column for each step of the longest chain, what needs nothing on
// the left, only those edges that no longer way around says already.
func SVG(w io.Writer, nodes []*Node) error {
	const (
		boxW, boxH = 150, 24
		gapX, gapY = 70, 10
		margin     = 20
	)
	level, row := map[*Node]int{}, map[*Node]int{}
	in := map[*Node]bool{}
	var columns []int
	for _, n := range nodes { // needs come first
		in[n] = true
		for _, m := range n.Needs {
			if in[m] {
				level[n] = max(level[n], level[m]+1)
			}
		}
		for len(columns) <= level[n] {
			columns = append(columns, 0)
		}
		row[n] = columns[level[n]]
		columns[level[n]]++
	}
	tallest := 0
	for _, c := range columns {
		tallest = max(tallest, c)
	}
	x := func(n *Node) int { return margin + level[n]*(boxW+gapX) }
	y := func(n *Node) int {
		return margin + row[n]*(boxH+gapY) + (tallest-columns[level[n]])*(boxH+gapY)/2
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		2*margin+len(columns)*(boxW+gapX)-gapX, 2*margin+tallest*(boxH+gapY)-gapY)
	b.WriteString("<style>path{fill:none;stroke:#8aa;stroke-width:1}rect{fill:#eef4f8;stroke:#467;rx:5}text{fill:#123}</style>\n")
	for _, n := range nodes {
		for _, m := range n.Needs {
			if !in[m] || implied(n, m) {
				continue
			}
			x1, y1, x2, y2 := x(m)+boxW, y(m)+boxH/2, x(n), y(n)+boxH/2
			fmt.Fprintf(&b, `<path d="M%d %dC%d %d %d %d %d %d"/>`+"\n", x1, y1, (x1+x2)/2, y1, (x1+x2)/2, y2, x2, y2)
		}
	}
	for _, n := range nodes {
		name := html.EscapeString(n.Name())
		fmt.Fprintf(&b, `<g><title>%s %s</title><rect x="%d" y="%d" width="%d" height="%d"/><text x="%d" y="%d">%s</text></g>`+"\n",
			name, html.EscapeString(n.Spec.Source.EVR()), x(n), y(n), boxW, boxH, x(n)+8, y(n)+16, name)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// implied says whether another thing that n needs needs m too.
func implied(n, m *Node) bool {
	for _, o := range n.Needs {
		if o != m && reaches(o, m, map[*Node]bool{}) {
			return true
		}
	}
	return false
}

func reaches(from, to *Node, seen map[*Node]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, m := range from.Needs {
		if reaches(m, to, seen) {
			return true
		}
	}
	return false
}
