package dashboard

import (
	"net/http"
	"net/url"
)

// overview shows what arrives, what leaves, and what is stuck.
func (x *exchange) overview() error {
	data := new(overviewData)
	var day, hour Series
	if err := x.get("status", nil, &data.Status); err != nil {
		return err
	}
	if err := x.get("series", url.Values{"span": {"24h"}}, &day); err != nil {
		return err
	}
	if err := x.get("series", url.Values{"span": {"1h"}}, &hour); err != nil {
		return err
	}
	for i := range data.Status.Sources {
		s := &data.Status.Sources[i]
		data.Sources = append(data.Sources, sourceRow{Source: s, sourceNumbers: newSourceNumbers(day.Sources[s.Name], hour.Sources[s.Name])})
	}
	for i := range data.Status.Destinations {
		d := &data.Status.Destinations[i]
		data.Destinations = append(data.Destinations, destinationRow{Destination: d, destinationNumbers: newDestinationNumbers(day.Destinations[d.Name])})
	}
	return x.render("overview", http.StatusOK, &Page{Title: "Overview", Nav: "overview", Live: "all", Data: data})
}

type overviewData struct {
	Status       Status
	Sources      []sourceRow
	Destinations []destinationRow
}

// Fresh reports whether nothing has ever arrived: then the page teaches.
func (d *overviewData) Fresh() bool { return d.Status.Totals.Accepted == 0 }

// sourceRow is a source with its numbers.
type sourceRow struct {
	*Source
	sourceNumbers
}

// sourceNumbers are a source's last 24 hours, and its rate of the last minutes.
type sourceNumbers struct {
	Day       SourceSeries
	Taken     uint64 // accepted
	Again     uint64 // duplicates
	Refusals  uint64
	Failures  uint64
	PerMinute float64
}

func newSourceNumbers(day, hour SourceSeries) sourceNumbers {
	return sourceNumbers{
		Day: day, Taken: sum(day.Accepted), Again: sum(day.Duplicate), Refusals: sum(day.Refused), Failures: sum(day.Error), PerMinute: perMinute(hour.Accepted),
	}
}

// Bad are the requests that somebody should look at, by step.
func (n *sourceNumbers) Bad() []uint32 {
	bad := make([]uint32, len(n.Day.Refused))
	for i := range bad {
		bad[i] = n.Day.Refused[i] + n.Day.Error[i]
	}
	return bad
}

// destinationRow is a destination with its numbers.
type destinationRow struct {
	*Destination
	destinationNumbers
}

// destinationNumbers are a destination's last 24 hours.
type destinationNumbers struct {
	Day          DestinationSeries
	Good, Failed uint64  // attempts
	Died         uint64  // deliveries
	Success      float64 // share of attempts; -1 if there were none
}

func newDestinationNumbers(day DestinationSeries) destinationNumbers {
	n := destinationNumbers{Day: day, Good: sum(day.Delivered), Failed: sum(day.Failed), Died: sum(day.Dead)}
	n.Success = share(n.Good, n.Failed)
	return n
}
