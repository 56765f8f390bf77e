package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// bench is one invocation.
type bench struct {
	settings
	dir      string
	machine  string
	progress io.Writer
	part     string
	figures  []figure
	servers  int // started so far, for their names
}

// figure is one measured number: a ratio, or a rate, time or size that a ratio was made of.
type figure struct {
	Part   string    `json:"part"`
	Name   string    `json:"name"`
	Unit   string    `json:"unit,omitempty"` // empty: a ratio
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"` // one per run
	Goal   *goal     `json:"goal,omitempty"`
}

// goal is what a figure is to reach.
type goal struct {
	Reach  float64 `json:"reach"`
	Wanted float64 `json:"wanted,omitempty"`
	AtMost bool    `json:"at_most,omitempty"` // a limit, not a least
}

func atLeast(reach, wanted float64) *goal { return &goal{Reach: reach, Wanted: wanted} }
func atMost(limit float64) *goal          { return &goal{Reach: limit, AtMost: true} }

// add notes a figure with the values of all runs.
func (b *bench) add(name, unit string, g *goal, values ...float64) {
	if len(values) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(values))
	f := figure{Part: b.part, Name: name, Unit: unit, Values: values, Median: median(values), Min: sorted[0], Max: sorted[len(sorted)-1], Goal: g}
	b.figures = append(b.figures, f)
	fmt.Fprintf(b.progress, "   %s\n", f.line())
}

func (f *figure) line() string {
	return fmt.Sprintf("%s: %s %s", f.Name, f.value(f.Median), f.spread())
}

func (f *figure) value(v float64) string {
	if f.Unit == "" {
		return fmt.Sprintf("%.2f", v)
	}
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, f.Unit)
	case v >= 1:
		return fmt.Sprintf("%.2f %s", v, f.Unit)
	}
	return fmt.Sprintf("%.3f %s", v, f.Unit)
}

func (f *figure) spread() string {
	if len(f.Values) < 2 {
		return ""
	}
	format := "[%.2f..%.2f]"
	if f.Unit != "" && f.Median >= 100 {
		format = "[%.0f..%.0f]"
	} else if f.Unit != "" && f.Median < 1 {
		format = "[%.3f..%.3f]"
	}
	return fmt.Sprintf(format, f.Min, f.Max)
}

func (f *figure) goal() string {
	switch g := f.Goal; {
	case g == nil:
		return ""
	case g.AtMost:
		return "<= " + f.value(g.Reach)
	case g.Wanted > 0:
		return fmt.Sprintf(">= %s, wanted %s", f.value(g.Reach), f.value(g.Wanted))
	default:
		return ">= " + f.value(g.Reach)
	}
}

func (f *figure) verdict() string {
	switch g := f.Goal; {
	case g == nil:
		return ""
	case g.AtMost && f.Median <= g.Reach, !g.AtMost && g.Wanted == 0 && f.Median >= g.Reach, !g.AtMost && g.Wanted > 0 && f.Median >= g.Wanted:
		return "reached"
	case !g.AtMost && f.Median >= g.Reach:
		return "reached, not as wanted"
	}
	return "MISSED"
}

// report prints all figures.
func (b *bench) report(w io.Writer) error {
	if b.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"machine": b.machine, "runs": b.runs, "seconds": b.time.Seconds(), "figures": b.figures})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s; medians of %d runs of %s [least..most]\n", b.machine, b.runs, b.time)
	part := ""
	for i := range b.figures {
		f := &b.figures[i]
		if f.Part != part {
			part = f.Part
			fmt.Fprintf(t, "\n%s\tmedian\tspread\tgoal\t\n", part)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", f.Name, f.value(f.Median), f.spread(), f.goal(), f.verdict())
	}
	return t.Flush()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// ratios divides run by run.
func ratios(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] / b[i]
	}
	return out
}
