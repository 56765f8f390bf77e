package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// send shows the form for a test event and, once one was sent, how it passes every stage.
func (x *exchange) send() error {
	query := x.r.URL.Query()
	data := &sendData{Chosen: query.Get("source")}
	var list struct {
		Sources []Source `json:"sources"`
	}
	if err := x.get("sources", nil, &list); err != nil {
		return err
	}
	for _, s := range list.Sources {
		if s.Configured {
			data.Sources = append(data.Sources, s)
		}
	}
	if err := x.sendTypes(data); err != nil {
		return err
	}
	page := &Page{Title: "Send a test event", Nav: "send", Data: data}
	if id := query.Get("event"); id != "" {
		data.Event = new(EventDetail)
		if err := x.get("events/"+url.PathEscape(id), nil, data.Event); err != nil {
			return err
		}
		data.Stages = stages(data.Event, query.Get("status"), query.Get("ms"), query.Get("result"))
		page.Live = "event=" + url.QueryEscape(id)
	}
	return x.render("send", http.StatusOK, page)
}

// sendTypes finds the types of event that the chosen source, or the only one, has examples of.
func (x *exchange) sendTypes(data *sendData) error {
	if data.Chosen == "" && len(data.Sources) > 0 {
		data.Chosen = data.Sources[0].Name
	}
	for _, s := range data.Sources {
		if s.Name != data.Chosen {
			continue
		}
		var provider providerData
		err := x.get("providers/"+url.PathEscape(s.Provider), nil, &provider.ProviderDetail)
		var problem *Problem
		if errors.As(err, &problem) && problem.Code == "not_found" { // a bare scheme with parameters of its own
			data.Plain = true
			return nil
		}
		if err != nil {
			return err
		}
		data.Types, data.Plain = provider.Types(), len(provider.Spec.Examples) == 0
	}
	return nil
}

type sendData struct {
	Sources []Source
	Chosen  string
	Types   []string
	Plain   bool         // the chosen source's provider has no examples
	Event   *EventDetail // that was sent; nil before
	Stages  []stage
}

// stage is one step on an event's way.
type stage struct {
	Title  string
	Detail string
	At     time.Time
	State  string // good, wait or bad
}

// stages are an event's way through the gateway.
func stages(e *EventDetail, status, ms, result string) []stage {
	answer := "the provider got its answer"
	if status != "" {
		answer = "the provider got " + status + " after " + ms + " ms"
	}
	kept := stage{Title: "Stored", Detail: "on disk as " + e.ID, State: "good"}
	if result == "duplicate" {
		kept = stage{Title: "Recognised", Detail: "as a duplicate of " + e.ID, State: "good"}
	}
	out := []stage{
		{Title: "Received", Detail: e.Provider + " example for source " + e.Source, At: e.ReceivedAt, State: "good"},
		{Title: "Verified", Detail: e.VerifiedBy(), State: "good"},
		kept,
		{Title: "Acknowledged", Detail: answer, State: "good"},
	}
	for i := range e.Deliveries {
		out = append(out, e.Deliveries[i].stage())
	}
	if len(e.Deliveries) == 0 {
		out = append(out, stage{Title: "Kept", Detail: "it is forwarded nowhere", State: "good"})
	}
	return out
}

// stage says how far a delivery is.
func (d *Delivery) stage() stage {
	s := stage{Title: "Forwarded to " + d.Destination, At: d.SettledAt, State: "wait", Detail: d.State}
	switch {
	case d.State == "delivered":
		s.State, s.Detail = "good", "delivered, "+strconv.Itoa(d.LastStatus)
	case d.Settled():
		s.State, s.Detail = "bad", d.State+": "+d.failure()
	case d.Attempts > 0:
		s.At, s.Detail = d.Due, "attempt "+strconv.Itoa(d.Attempts)+" failed ("+d.failure()+"); the next one is due"
	}
	return s
}

// failure is the last failure in words.
func (d *Delivery) failure() string {
	if d.LastStatus != 0 {
		return strconv.Itoa(d.LastStatus)
	}
	return word(d.LastError)
}

// sendTest sends a test event.
func (x *exchange) sendTest() error {
	form := x.r.PostForm
	query := url.Values{}
	if kind := form.Get("type"); kind != "" {
		query.Set("type", kind)
	}
	var sent TestSend
	if err := x.call(http.MethodPost, "sources/"+url.PathEscape(form.Get("source"))+"/test", query, nil, &sent); err != nil {
		return err
	}
	if sent.Event == "" {
		return x.redirectBad("/"+link("send", "source", sent.Source),
			"The test event was not accepted: "+formatCount(sent.Status)+", "+word(sent.Reason)+". See Requests and Quarantine for the cause.")
	}
	return x.redirect("/"+link("send", "source", sent.Source, "event", sent.Event, "status", strconv.Itoa(sent.Status),
		"ms", strconv.FormatFloat(sent.DurationMS, 'f', 1, 64), "result", sent.Result), "")
}
