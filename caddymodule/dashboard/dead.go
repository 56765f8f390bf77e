package dashboard

import (
	"html/template"
	"net/http"
)

// dead shows the deliveries that were given up, by destination and cause.
func (x *exchange) dead() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &deadData{Filter: form}
	if err := x.get("dead", form.Values, &data.Dead); err != nil {
		return err
	}
	return x.render("dead", http.StatusOK, &Page{Title: "Dead letters", Nav: "dead", Live: "kind=delivery", Data: data})
}

type deadData struct {
	Filter *filterForm
	Dead   Dead
}

// Total is how many dead deliveries there are, grouped or not.
func (d *deadData) Total() (n uint64) {
	for _, count := range d.Dead.Totals {
		n += count
	}
	return n
}

// Group is the query that selects the deliveries of a group.
func (d *deadData) Group(g DeadGroup) template.URL {
	return d.Filter.With("state", "dead", "destination", g.Destination, "error", g.Error)
}

// All is the query that selects the dead deliveries of all groups.
func (d *deadData) All() template.URL { return d.Filter.With("state", "dead") }
