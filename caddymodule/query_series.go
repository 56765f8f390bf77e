package caddymodule

import (
	"fmt"
	"net/http"
	"time"
)

// seriesView is what happened in a time, in equal steps. The last step is under way.
type seriesView struct {
	Start        time.Time                    `json:"start"` // of the first step
	StepSeconds  int                          `json:"step_seconds"`
	Steps        int                          `json:"steps"`
	Sources      map[string]sourceSeries      `json:"sources"`
	Destinations map[string]destinationSeries `json:"destinations"`
}

// sourceSeries counts the requests of a source in each step, by their result.
type sourceSeries struct {
	Accepted  []uint32  `json:"accepted"`
	Duplicate []uint32  `json:"duplicate"`
	Refused   []uint32  `json:"refused"`
	Error     []uint32  `json:"error"`
	AckMS     []float64 `json:"ack_ms,omitempty"` // p50, p95 and p99 of the time to the 2xx; absent if there was none
}

// destinationSeries counts attempts at a destination and the deliveries that died, in each step.
type destinationSeries struct {
	Delivered []uint32  `json:"delivered"`
	Failed    []uint32  `json:"failed"`
	Dead      []uint32  `json:"dead"`
	AttemptMS []float64 `json:"attempt_ms,omitempty"` // p50, p95 and p99 of the attempts; absent if there was none
}

// seriesSpans are the times that can be asked for, with the length of a step in minutes.
var seriesSpans = map[string]struct{ minutes, step int }{"1h": {60, 1}, "6h": {360, 5}, "24h": {1440, 15}}

// Series returns what sources and destinations did in the last 1h, 6h or 24h: of all of them, or of the ones of a name.
func (g *gateway) Series(span, source, destination string) (seriesView, error) {
	size, ok := seriesSpans[span]
	if !ok {
		return seriesView{}, fmt.Errorf("%w: span %q: want 1h, 6h or 24h", errBadQuery, span)
	}
	steps := size.minutes / size.step
	last := now().Unix() / 60 / int64(size.step) // the step under way
	from := (last - int64(steps) + 1) * int64(size.step)
	v := seriesView{
		Start: time.Unix(from*60, 0).UTC(), StepSeconds: size.step * 60, Steps: steps,
		Sources: map[string]sourceSeries{}, Destinations: map[string]destinationSeries{},
	}
	all := source == "" && destination == ""
	for _, key := range g.rt.rollup.keys() {
		if !all && (key.kind != rollupSource || key.name != source) && (key.kind != rollupDestination || key.name != destination) {
			continue
		}
		s := g.rt.rollup.of(key.kind, key.name)
		if s == nil { // forgotten in the meantime
			continue
		}
		n, took := s.sums(from, steps, size.step)
		ms := quantiles(took, 0.5, 0.95, 0.99)
		if key.kind == rollupSource {
			v.Sources[key.name] = sourceSeries{Accepted: n[countAccepted], Duplicate: n[countDuplicate], Refused: n[countRefused], Error: n[countError], AckMS: ms}
		} else {
			v.Destinations[key.name] = destinationSeries{Delivered: n[countDelivered], Failed: n[countFailed], Dead: n[countDead], AttemptMS: ms}
		}
	}
	return v, nil
}

func getSeries(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	span, source, destination := p.text("span"), p.text("source"), p.text("destination")
	if span == "" {
		span = "24h"
	}
	if err := p.done(); err != nil {
		return err
	}
	view, err := g.Series(span, source, destination)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}
