package caddymodule

import (
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

const defaultPageSize = 50

// eventPage is one page of events, newest first.
type eventPage struct {
	Events []eventView `json:"events"`
	Next   string      `json:"next,omitempty"` // cursor of the next page; absent at the end. A page may be short, even empty, before the end.
}

// eventView is an event as lists show it: no header, no payload.
type eventView struct {
	ID         queue.ID       `json:"id"`
	EventID    string         `json:"event_id"`
	Source     string         `json:"source"`
	Provider   string         `json:"provider"`
	Type       string         `json:"type,omitempty"`
	Subject    string         `json:"subject,omitempty"`
	Time       time.Time      `json:"time,omitzero"`
	ReceivedAt time.Time      `json:"received_at"`
	Size       int            `json:"size"`
	ReplayOf   string         `json:"replay_of,omitempty"`
	Filtered   []string       `json:"filtered,omitempty"`
	Deliveries []deliveryView `json:"deliveries"`
}

// deliveryView is one delivery of an event.
type deliveryView struct {
	Destination string        `json:"destination"`
	State       queue.State   `json:"state"`
	OrderKey    string        `json:"order_key,omitempty"`
	Attempts    int           `json:"attempts"`
	Due         time.Time     `json:"due,omitzero"`
	LastStatus  int           `json:"last_status,omitempty"`
	LastError   string        `json:"last_error,omitempty"`
	SettledAt   time.Time     `json:"settled_at,omitzero"`
	Replayed    bool          `json:"replayed,omitempty"`
	History     []attemptView `json:"history,omitempty"` // of the attempts, oldest first; in the detail of an event only
}

// attemptView is one HTTP try of a delivery.
type attemptView struct {
	Number     int       `json:"number"`
	Trigger    string    `json:"trigger"` // first, retry or replay
	At         time.Time `json:"at"`
	DurationMS float64   `json:"duration_ms"`
	Status     int       `json:"status,omitempty"`
	Class      string    `json:"class,omitempty"` // of the failure; absent on success
	Error      string    `json:"error,omitempty"`
	Response   string    `json:"response,omitempty"` // first bytes of the answer, unless the source hides anything of its payloads
}

// eventDetail is all about one event but its payload.
type eventDetail struct {
	eventView
	Method          string              `json:"method"`
	URL             string              `json:"url"` // secrets in it are masked
	Header          map[string][]string `json:"header"`
	ClientIP        string              `json:"client_ip,omitempty"`
	SecretIndex     *int                `json:"secret_index,omitempty"` // which of the live secrets matched, from 0; absent if none was needed
	TraceParent     string              `json:"trace_parent,omitempty"`
	PayloadHidden   bool                `json:"payload_hidden,omitempty"`   // the source shows no payloads
	SameProviderIDs []queue.ID          `json:"same_provider_id,omitempty"` // older events with the provider's id that was asked for
}

func (g *gateway) view(e *queue.Event, size int, deliveries []queue.Delivery) eventView {
	hidden := g.app.derived(e.Source, e.Provider)
	e = g.app.shown(e)
	v := eventView{
		ID: e.ID, EventID: e.EventID, Source: e.Source, Provider: e.Provider, Type: e.Type, Subject: e.Subject,
		Time: e.Time, ReceivedAt: e.ReceivedAt.UTC(), Size: size, Filtered: e.Filtered, Deliveries: make([]deliveryView, len(deliveries)),
	}
	if !e.Time.IsZero() {
		v.Time = e.Time.UTC()
	}
	if e.ReplayOf != 0 {
		v.ReplayOf = e.ReplayOf.String()
	}
	for i := range deliveries {
		v.Deliveries[i] = g.deliveryView(&deliveries[i])
		v.Deliveries[i].OrderKey = hidden.orderKey(&deliveries[i])
	}
	return v
}

func (g *gateway) deliveryView(d *queue.Delivery) deliveryView {
	v := deliveryView{
		Destination: d.Destination, State: g.shown(d), Attempts: d.Attempts,
		LastStatus: d.LastStatus, LastError: d.LastError, Replayed: d.Replayed,
	}
	if !d.Due.IsZero() && d.State == queue.StatePending {
		v.Due = d.Due.UTC()
	}
	if !d.SettledAt.IsZero() {
		v.SettledAt = d.SettledAt.UTC()
	}
	return v
}
