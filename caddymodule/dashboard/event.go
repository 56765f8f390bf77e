package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// event shows one event: what became of it, attempt by attempt, and what was in it.
func (x *exchange) event() error {
	data, err := x.eventData()
	if err != nil {
		return err
	}
	return x.render("event", http.StatusOK, &Page{
		Title: "Event " + data.Event.ID, Nav: "events", Live: "event=" + url.QueryEscape(data.Event.ID), Data: data,
	})
}

// eventData reads what the page of the event shows that is in the address.
func (x *exchange) eventData() (*eventData, error) {
	data := new(eventData)
	if err := x.get("events/"+url.PathEscape(x.r.PathValue("id")), cleanQuery(x.r.URL.Query()), &data.Event); err != nil {
		return nil, err
	}
	var err error
	if data.Raw, err = x.pane(data.Event.ID, "raw"); err != nil {
		return nil, err
	}
	if data.Normalised, err = x.pane(data.Event.ID, "normalised"); err != nil {
		return nil, err
	}
	data.Edit.Payload = editable(data.Raw)
	data.Curl = curlCommand(&data.Event, data.Raw)
	data.Steps = timeline(&data.Event)
	return data, nil
}

type eventData struct {
	Event           EventDetail
	Raw, Normalised *pane
	Curl            string
	Edit            edit
	Steps           []step
}

// Open reports whether a delivery can still be cancelled.
func (d *eventData) Open() bool {
	return slices.ContainsFunc(d.Event.Deliveries, func(d Delivery) bool { return !d.Settled() })
}

// HeaderNames are the names of the headers in order.
func (d *eventData) HeaderNames() []string {
	return headerNames(d.Event.Header)
}

// step is one thing that happened to an event.
type step struct {
	At          time.Time
	Kind        string // received, attempt, settled or next
	Destination string
	State       string // of the delivery afterwards, where that is known
	Attempt     *Attempt
}

// timeline puts what happened to an event in order.
func timeline(e *EventDetail) []step {
	steps := []step{{At: e.ReceivedAt, Kind: "received"}}
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		for j := range d.History {
			a := &d.History[j]
			steps = append(steps, step{At: a.At, Kind: "attempt", Destination: d.Destination, Attempt: a})
		}
		if !d.SettledAt.IsZero() {
			steps = append(steps, step{At: d.SettledAt, Kind: "settled", Destination: d.Destination, State: d.State})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	var waiting []step
	for i := range e.Deliveries {
		if d := &e.Deliveries[i]; !d.Settled() {
			waiting = append(waiting, step{At: d.Due, Kind: "next", Destination: d.Destination, State: d.State})
		}
	}
	slices.SortStableFunc(waiting, func(a, b step) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Destination, b.Destination)) })
	return append(steps, waiting...)
}

// payload sends an event's payload as a download, as the API does.
func (x *exchange) payload() error {
	id := x.r.PathValue("id")
	query := cleanQuery(x.r.URL.Query())
	answer, err := x.raw(http.MethodGet, "events/"+url.PathEscape(id)+"/payload", query, nil)
	if err != nil {
		return err
	}
	name := fileName(id)
	if query.Get("format") == "normalised" {
		name += ".cloudevent"
	}
	return x.download(answer, name)
}

// download hands a payload on as the API sent it, as a file of a name.
func (x *exchange) download(answer Answer, name string) error {
	h := x.w.Header()
	for field, values := range answer.Header {
		h[field] = values
	}
	h.Set("Content-Disposition", `attachment; filename="`+name+extension(answer.Header.Get("Content-Type"))+`"`)
	x.w.WriteHeader(answer.Status)
	_, _ = x.w.Write(answer.Body) // a client that is gone asks again
	return nil
}

// fileName keeps of an id what may stand in the name of a file.
func fileName(id string) string {
	safe := []byte(id)
	for i, c := range safe {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			safe[i] = '_'
		}
	}
	return string(safe[:min(len(safe), 100)])
}

func extension(contentType string) string {
	if contentType == "application/json" {
		return ".json"
	}
	return ".bin"
}

// replayEvent makes an event's deliveries once more, or one of them.
func (x *exchange) replayEvent() error {
	id := x.r.PathValue("id")
	order := ReplayOrder{IDs: []string{id}}
	if destination := x.r.PostForm.Get("destination"); destination != "" {
		order.Filter = &ReplayFilter{Destination: destination}
	}
	var job Replay
	if err := x.call(http.MethodPost, "replay", nil, order, &job); err != nil {
		return err
	}
	return x.redirect("/events/"+url.PathEscape(id), "Sent again: "+plural(job.Estimate.Deliveries, "delivery", "deliveries")+" put back into the queue.")
}

// cancelEvent ends the deliveries of an event that still wait, or one of them.
func (x *exchange) cancelEvent() error {
	id := x.r.PathValue("id")
	query := url.Values{}
	if destination := x.r.PostForm.Get("destination"); destination != "" {
		query.Set("destination", destination)
	}
	var cancelled struct {
		Destinations []string `json:"destinations"`
	}
	if err := x.call(http.MethodPost, "events/"+url.PathEscape(id)+"/cancel", query, nil, &cancelled); err != nil {
		return err
	}
	message := "Cancelled: " + plural(len(cancelled.Destinations), "delivery", "deliveries") + "."
	if len(cancelled.Destinations) == 0 {
		message = "Nothing was cancelled: every delivery had ended already."
	}
	return x.redirect("/events/"+url.PathEscape(id), message)
}
