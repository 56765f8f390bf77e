package dashboard

import (
	"net/http"
	"net/url"
)

// destinations lists where events go.
func (x *exchange) destinations() error {
	var list struct {
		Destinations []Destination `json:"destinations"`
	}
	if err := x.get("destinations", nil, &list); err != nil {
		return err
	}
	var day Series
	if err := x.get("series", url.Values{"span": {"24h"}}, &day); err != nil {
		return err
	}
	data := new(destinationsData)
	for i := range list.Destinations {
		d := &list.Destinations[i]
		data.Rows = append(data.Rows, destinationRow{Destination: d, destinationNumbers: newDestinationNumbers(day.Destinations[d.Name])})
	}
	return x.render("destinations", http.StatusOK, &Page{Title: "Destinations", Nav: "destinations", Live: "all", Data: data})
}

type destinationsData struct{ Rows []destinationRow }

// destination shows one destination: how it does, what it is allowed, and what happened to it.
func (x *exchange) destination() error {
	name := x.r.URL.Query().Get("name")
	data := &destinationData{Span: x.r.URL.Query().Get("span")}
	if data.Span == "" {
		data.Span = "24h"
	}
	if err := x.get("destinations/"+url.PathEscape(name), nil, &data.Destination); err != nil {
		return err
	}
	var series, day Series
	if err := x.get("series", url.Values{"span": {data.Span}, "destination": {name}}, &series); err != nil {
		return err
	}
	if err := x.get("series", url.Values{"span": {"24h"}, "destination": {name}}, &day); err != nil {
		return err
	}
	data.destinationNumbers = newDestinationNumbers(day.Destinations[name])
	s := series.Destinations[name]
	data.Chart = newChart(&series, "Attempts at "+name+" in the last "+since(&series)+": "+plural(sum(s.Delivered), "success", "successes")+", "+
		plural(sum(s.Failed), "failure", "failures")+".",
		line{"Delivered", "--good", s.Delivered}, line{"Failed", "--bad", s.Failed})
	return x.render("destination", http.StatusOK, &Page{
		Title: name, Nav: "destinations", Live: "all", Charts: true, Data: data,
	})
}

type destinationData struct {
	Destination
	destinationNumbers
	Span  string
	Chart *chart
}

// Spans are the times that a chart can show.
func (*destinationData) Spans() []string { return []string{"1h", "6h", "24h"} }

func destinationPath(name string) string { return "/" + link("destination", "name", name) }

// pauseDestination stops deliveries to a destination; they are held.
func (x *exchange) pauseDestination() error {
	return x.switchDestination("pause", "Paused. Deliveries are held, and nothing is lost.")
}

// resumeDestination lets deliveries go out again.
func (x *exchange) resumeDestination() error {
	return x.switchDestination("resume", "Resumed. Deliveries go out, slowly at first.")
}

func (x *exchange) switchDestination(action, message string) error {
	name := x.r.PostForm.Get("name")
	if err := x.call(http.MethodPost, "destinations/"+url.PathEscape(name)+"/"+action, nil, nil, nil); err != nil {
		return err
	}
	return x.redirect(destinationPath(name), message)
}

// testDestination sends a destination a test event.
func (x *exchange) testDestination() error {
	name := x.r.PostForm.Get("name")
	var trial Trial
	if err := x.call(http.MethodPost, "destinations/"+url.PathEscape(name)+"/test", nil, nil, &trial); err != nil {
		return err
	}
	took := " after " + formatMS(trial.DurationMS)
	switch {
	case trial.Delivered:
		return x.redirect(destinationPath(name), "The test event was delivered: "+formatCount(trial.Status)+took+".")
	case trial.Status != 0:
		return x.redirectBad(destinationPath(name), "The test event was not delivered: "+formatCount(trial.Status)+took+" ("+word(trial.Class)+"). "+firstLine(trial.Response))
	}
	return x.redirectBad(destinationPath(name), "The test event was not delivered: "+word(trial.Class)+took+". "+trial.Error)
}
