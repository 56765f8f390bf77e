package dashboard

import (
	"net/http"
	"net/url"
)

// source shows one source: what it takes in, with which secrets, and where it sends it.
func (x *exchange) source() error {
	name := x.r.URL.Query().Get("name")
	found, err := x.findSource(name)
	if err != nil {
		return err
	}
	data := &sourceData{Source: found, Span: x.r.URL.Query().Get("span")}
	if data.Span == "" {
		data.Span = "24h"
	}
	var day, hour, series Series
	for span, into := range map[string]*Series{"24h": &day, "1h": &hour} {
		if err := x.get("series", url.Values{"span": {span}, "source": {name}}, into); err != nil {
			return err
		}
	}
	if err := x.get("series", url.Values{"span": {data.Span}, "source": {name}}, &series); err != nil {
		return err
	}
	data.sourceNumbers = newSourceNumbers(day.Sources[name], hour.Sources[name])
	s := series.Sources[name]
	data.Chart = newChart(&series, "Requests of "+name+" in the last "+since(&series)+": "+formatCount(sum(s.Accepted))+" accepted, "+
		plural(sum(s.Duplicate), "duplicate", "duplicates")+", "+formatCount(sum(s.Refused))+" refused.",
		line{"Accepted", "--good", s.Accepted}, line{"Duplicates", "--info", s.Duplicate}, line{"Refused", "--bad", s.Refused})
	return x.render("source", http.StatusOK, &Page{Title: name, Nav: "overview", Live: "source=" + url.QueryEscape(name), Charts: true, Data: data})
}

func (x *exchange) findSource(name string) (*Source, error) {
	var list struct {
		Sources []Source `json:"sources"`
	}
	if err := x.get("sources", nil, &list); err != nil {
		return nil, err
	}
	for i := range list.Sources {
		if list.Sources[i].Name == name {
			return &list.Sources[i], nil
		}
	}
	return nil, &Problem{Status: http.StatusNotFound, Code: "no_source", Detail: "There is no source " + name + "."}
}

type sourceData struct {
	*Source
	sourceNumbers
	Span  string
	Chart *chart
}

// Spans are the times that a chart can show.
func (*sourceData) Spans() []string { return []string{"1h", "6h", "24h"} }

// revealHandshake shows the token that a provider sent in its handshake, once.
func (x *exchange) revealHandshake() error {
	name := x.r.PostForm.Get("name")
	var revealed struct {
		Token string `json:"token"`
	}
	if err := x.call(http.MethodPost, "sources/"+url.PathEscape(name)+"/handshake", nil, nil, &revealed); err != nil {
		return err
	}
	return x.render("revealed", http.StatusOK, &Page{Title: "Token of " + name, Nav: "overview", Data: map[string]string{"Name": name, "Token": revealed.Token}})
}
