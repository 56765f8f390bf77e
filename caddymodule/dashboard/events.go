package dashboard

import "html/template"

// deliveryStates are the states to filter by.
var deliveryStates = []string{"pending", "delivering", "held", "delivered", "dead", "cancelled"}

// errorClasses are the classes of failures to filter by.
var errorClasses = []string{"status", "timeout", "dial", "dns", "tls", "reset", "truncated", "protocol", "redirect", "transform", "enrich", "header", "internal"}

// events lists events, newest first, by the same filters as the API.
func (x *exchange) events() error {
	form, err := x.filterForm()
	if err != nil {
		return err
	}
	data := &eventsData{Filter: form, States: deliveryStates, Errors: errorClasses}
	status, err := x.list("events", form, &data.Page)
	if err != nil {
		return err
	}
	page := &Page{Title: "Events", Nav: "events", Data: data}
	if form.Get("cursor") == "" && form.Refused == "" { // older pages stand still while one reads them
		page.Live = "all"
	}
	return x.render("events", status, page)
}

type eventsData struct {
	Filter *filterForm
	States []string
	Errors []string
	Page   EventPage
}

// Next is the query of the next page.
func (d *eventsData) Next() template.URL { return d.Filter.With("cursor", d.Page.Next) }
