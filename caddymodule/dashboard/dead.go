package dashboard

import "html/template"

// dead shows the deliveries that were given up, by destination and cause.
func (x *exchange) dead() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &deadData{Filter: form}
	status, err := x.list("dead", form, &data.Dead)
	if err != nil {
		return err
	}
	page := &Page{Title: "Dead letters", Nav: "dead", Data: data}
	if form.Refused == "" {
		page.Live = "kind=delivery"
	}
	return x.render("dead", status, page)
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
