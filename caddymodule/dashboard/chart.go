package dashboard

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"
)

// Size of a sparkline in the units of its drawing.
const (
	sparkWidth  = 120
	sparkHeight = 28
)

// sparkline draws a bar for each step: good below, bad on top. The numbers beside it say the same.
func sparkline(good, bad []uint32) template.HTML {
	steps := max(len(good), len(bad))
	at := func(values []uint32, i int) float64 {
		if i < len(values) {
			return float64(values[i])
		}
		return 0
	}
	highest := 0.0
	for i := range steps {
		highest = max(highest, at(good, i)+at(bad, i))
	}
	if highest == 0 {
		return `<svg class="spark" viewBox="0 0 120 28" aria-hidden="true"><path class="base" d="M0 27.500H120"/></svg>`
	}
	width := float64(sparkWidth) / float64(steps)
	var goodPath, badPath strings.Builder
	bar := func(b *strings.Builder, i int, bottom, height float64) float64 {
		if height == 0 {
			return bottom
		}
		height = max(1, height/highest*(sparkHeight-1))
		fmt.Fprintf(b, "M%s %sv-%sh%sv%sz", short(float64(i)*width), short(bottom), short(height), short(width*0.8), short(height))
		return bottom - height
	}
	for i := range steps {
		bottom := bar(&goodPath, i, sparkHeight-0.5, at(good, i))
		bar(&badPath, i, bottom, at(bad, i))
	}
	return template.HTML(`<svg class="spark" viewBox="0 0 120 28" aria-hidden="true"><path class="base" d="M0 27.500H120"/><path class="good" d="` + //nolint:gosec // numbers
		goodPath.String() + `"/><path class="bad" d="` + badPath.String() + `"/></svg>`)
}

func short(n float64) string { return strconv.FormatFloat(n, 'f', 1, 64) }

// chart is a drawing that the pages' script makes of numbers.
type chart struct {
	Label string // what it shows, in words
	Start int64  `json:"start"` // seconds since 1970
	Step  int    `json:"step"`  // seconds
	Lines []line `json:"lines"`
}

type line struct {
	Name   string   `json:"name"`
	Color  string   `json:"color"` // name of a custom property
	Values []uint32 `json:"values"`
}

// JSON is what the script reads.
func (c *chart) JSON() (string, error) {
	raw, err := json.Marshal(c)
	return string(raw), err
}

// newChart makes a chart of a series.
func newChart(s *Series, label string, lines ...line) *chart {
	for i := range lines {
		if len(lines[i].Values) == 0 { // nothing ever happened
			lines[i].Values = make([]uint32, s.Steps)
		}
	}
	return &chart{Label: label, Start: s.Start.Unix(), Step: s.StepSeconds, Lines: lines}
}

// sum adds the steps up.
func sum(steps ...[]uint32) (n uint64) {
	for _, values := range steps {
		for _, value := range values {
			n += uint64(value)
		}
	}
	return n
}

// share is the part of good in all; -1 if there is nothing.
func share(good, bad uint64) float64 {
	if good+bad == 0 {
		return -1
	}
	return float64(good) / float64(good+bad)
}

// perMinute is the mean of the last whole minutes of an hour's series.
func perMinute(steps []uint32) float64 {
	const minutes = 5
	if len(steps) <= minutes {
		return 0
	}
	last := steps[len(steps)-1-minutes : len(steps)-1] // the newest is under way
	return float64(sum(last)) / minutes
}

// since is how long ago a series begins, in words.
func since(s *Series) string {
	return plural(s.Steps*s.StepSeconds/3600, "hour", "hours")
}
