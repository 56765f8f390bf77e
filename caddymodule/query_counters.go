package caddymodule

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// processStart is since when the counters of requests count.
var processStart = now()

// readMetric calls fn for each series of a collector with its labels and value.
func readMetric(c prometheus.Collector, fn func(labels map[string]string, value float64)) error {
	series := make(chan prometheus.Metric)
	go func() { // ends with the loop below, which reads to the end
		defer close(series)
		c.Collect(series)
	}()
	var failed error
	for m := range series {
		var out dto.Metric
		if err := m.Write(&out); err != nil {
			failed = fmt.Errorf("reading metrics: %w", err)
			continue
		}
		labels := make(map[string]string, len(out.GetLabel()))
		for _, pair := range out.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		switch {
		case out.Counter != nil:
			fn(labels, out.Counter.GetValue())
		case out.Gauge != nil:
			fn(labels, out.Gauge.GetValue())
		}
	}
	return failed
}
