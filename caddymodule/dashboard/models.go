package dashboard

import (
	"strconv"
	"time"
)

// The types of this file are what the dashboard reads of the admin API's answers. They name the fields that pages show, as the API's description has them.

// Status is the gateway at a glance.
type Status struct {
	OK           bool          `json:"ok"`
	Problems     []string      `json:"problems"`
	Store        Store         `json:"store"`
	Totals       Totals        `json:"totals"`
	Sources      []Source      `json:"sources"`
	Destinations []Destination `json:"destinations"`
	Replays      int           `json:"replays"`
	CountedSince time.Time     `json:"counted_since"`
}

// Store is the size of the store in events and bytes.
type Store struct {
	Events    uint64 `json:"events"`
	Bytes     int64  `json:"bytes"`
	FreeBytes int64  `json:"free_bytes"` // -1: unknown
}

// Totals counts deliveries of all destinations.
type Totals struct {
	Pending       uint64    `json:"pending"`
	Held          uint64    `json:"held"`
	Delivering    uint64    `json:"delivering"`
	Dead          uint64    `json:"dead"`
	Delivered     uint64    `json:"delivered"`
	Accepted      uint64    `json:"accepted"`
	OldestPending time.Time `json:"oldest_pending"`
}

// Source is a source of webhooks.
type Source struct {
	Name           string            `json:"name"`
	Configured     bool              `json:"configured"`
	Provider       string            `json:"provider"`
	Scheme         string            `json:"scheme"`
	Secrets        []Secret          `json:"secrets"`
	Token          string            `json:"token"`
	UnsignedOK     bool              `json:"unsigned_ok"`
	DeadlineMS     int64             `json:"deadline_ms"`
	MaxBody        int64             `json:"max_body"`
	AckStatus      int               `json:"ack_status"`
	Redact         bool              `json:"redact"`
	Mask           []string          `json:"mask"`
	Forwards       []Forward         `json:"forwards"`
	Accepted       uint64            `json:"accepted"`
	LastEvent      time.Time         `json:"last_event"`
	Requests       map[string]uint64 `json:"requests"`
	Refused        map[string]uint64 `json:"refused"`
	HandshakeToken bool              `json:"handshake_token"`
}

// Secret is a live secret by its place in the configuration.
type Secret struct {
	Label    string    `json:"label"`
	Matches  uint64    `json:"matches"`
	LastUsed time.Time `json:"last_used"`
	Since    time.Time `json:"since"`
}

// Forward is where a source's events go.
type Forward struct {
	Destination string   `json:"destination"`
	Events      []string `json:"events"`
	When        string   `json:"when"`
	Format      string   `json:"format"`
	Transformed bool     `json:"transformed"`
	Enriched    bool     `json:"enriched"`
	OrderBy     []string `json:"order_by"`
}

// Destination is where events go.
type Destination struct {
	Name          string    `json:"name"`
	Configured    bool      `json:"configured"`
	To            []string  `json:"to"`
	Sources       []string  `json:"sources"`
	Format        string    `json:"format"`
	Signed        string    `json:"signed"`
	TimeoutMS     int64     `json:"timeout_ms"`
	Retry         string    `json:"retry"`
	Paused        bool      `json:"paused"`
	Held          bool      `json:"held"`
	HeldReason    string    `json:"held_reason"`
	Breaker       string    `json:"breaker"`
	ProbeAt       time.Time `json:"probe_at"`
	InFlight      int       `json:"in_flight"`
	Limit         int       `json:"limit"`
	Concurrency   int       `json:"concurrency"`
	Auto          bool      `json:"auto"`
	Rate          float64   `json:"rate"`
	Pending       uint64    `json:"pending"`
	Delivering    uint64    `json:"delivering"`
	Delivered     uint64    `json:"delivered"`
	Dead          uint64    `json:"dead"`
	Cancelled     uint64    `json:"cancelled"`
	OldestPending time.Time `json:"oldest_pending"`
	NextDue       time.Time `json:"next_due"`

	BreakerChanges []BreakerChange `json:"breaker_changes"`
}

// EventPage is one page of events.
type EventPage struct {
	Events []Event `json:"events"`
	Next   string  `json:"next"`
}

// Event is an event as lists show it.
type Event struct {
	ID         string     `json:"id"`
	EventID    string     `json:"event_id"`
	Source     string     `json:"source"`
	Provider   string     `json:"provider"`
	Type       string     `json:"type"`
	Subject    string     `json:"subject"`
	Time       time.Time  `json:"time"`
	ReceivedAt time.Time  `json:"received_at"`
	Size       int        `json:"size"`
	ReplayOf   string     `json:"replay_of"`
	Filtered   []string   `json:"filtered"`
	Deliveries []Delivery `json:"deliveries"`
}

// Delivery is one delivery of an event.
type Delivery struct {
	Destination string    `json:"destination"`
	State       string    `json:"state"`
	OrderKey    string    `json:"order_key"`
	Attempts    int       `json:"attempts"`
	Due         time.Time `json:"due"`
	LastStatus  int       `json:"last_status"`
	LastError   string    `json:"last_error"`
	SettledAt   time.Time `json:"settled_at"`
	Replayed    bool      `json:"replayed"`
	History     []Attempt `json:"history"`
}

// Settled reports whether nothing more happens to the delivery by itself.
func (d *Delivery) Settled() bool {
	return d.State == "delivered" || d.State == "dead" || d.State == "cancelled"
}

// Attempt is one HTTP try of a delivery.
type Attempt struct {
	Number     int       `json:"number"`
	Trigger    string    `json:"trigger"`
	At         time.Time `json:"at"`
	DurationMS float64   `json:"duration_ms"`
	Status     int       `json:"status"`
	Class      string    `json:"class"`
	Error      string    `json:"error"`
	Response   string    `json:"response"`
}

// EventDetail is all about one event but its payload.
type EventDetail struct {
	Event
	Method          string              `json:"method"`
	URL             string              `json:"url"`
	Header          map[string][]string `json:"header"`
	ClientIP        string              `json:"client_ip"`
	SecretIndex     *int                `json:"secret_index"`
	TraceParent     string              `json:"trace_parent"`
	PayloadHidden   bool                `json:"payload_hidden"`
	SameProviderIDs []string            `json:"same_provider_id"`
}

// VerifiedBy says which secret verified the request.
func (e *EventDetail) VerifiedBy() string {
	if e.SecretIndex == nil {
		return "no secret needed"
	}
	return "secret no. " + strconv.Itoa(*e.SecretIndex+1)
}

// Dead is the dead deliveries, grouped.
type Dead struct {
	Groups   []DeadGroup       `json:"groups"`
	Totals   map[string]uint64 `json:"totals"`
	Complete bool              `json:"complete"`
	Events   int               `json:"events"`
}

// DeadGroup is the dead deliveries of one destination with one class of error.
type DeadGroup struct {
	Destination string         `json:"destination"`
	Error       string         `json:"error"`
	Count       int            `json:"count"`
	Statuses    map[string]int `json:"statuses"`
	Sources     []string       `json:"sources"`
	FirstSeen   time.Time      `json:"first_seen"`
	LastSeen    time.Time      `json:"last_seen"`
	Newest      string         `json:"newest"`
}

// Replay is a replay job, or what one would do.
type Replay struct {
	ID       string         `json:"id"`
	State    string         `json:"state"`
	Request  ReplayOrder    `json:"request"`
	Estimate ReplayEstimate `json:"estimate"`
	Created  time.Time      `json:"created"`
	Finished time.Time      `json:"finished"`
	Events   int            `json:"events"`
	Replayed int            `json:"replayed"`
	Skipped  int            `json:"skipped"`
}

// ReplayOrder says which deliveries are made once more.
type ReplayOrder struct {
	IDs    []string      `json:"ids,omitempty"`
	Filter *ReplayFilter `json:"filter,omitempty"`
	All    bool          `json:"all,omitempty"`
	To     string        `json:"to,omitempty"`
	Move   bool          `json:"move,omitempty"`
	Rate   float64       `json:"rate,omitempty"`
	DryRun bool          `json:"dry_run,omitempty"`
}

// ReplayFilter selects deliveries.
type ReplayFilter struct {
	Source      string    `json:"source,omitempty"`
	Provider    string    `json:"provider,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Type        string    `json:"type,omitempty"`
	EventID     string    `json:"event_id,omitempty"`
	States      []string  `json:"states,omitempty"`
	Error       string    `json:"error,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	Until       time.Time `json:"until,omitzero"`
}

// ReplayEstimate is how much a replay would put back.
type ReplayEstimate struct {
	Events     int  `json:"events"`
	Deliveries int  `json:"deliveries"`
	Complete   bool `json:"complete"`

	Destinations map[string]int `json:"destinations"`
}

// Provider is a provider as lists show it.
type Provider struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Scheme     string   `json:"scheme"`
	Docs       string   `json:"docs"`
	Confidence string   `json:"confidence"`
	Own        bool     `json:"own"`
	Secret     string   `json:"secret"`
	Unsigned   bool     `json:"unsigned"`
	DeadlineMS int64    `json:"deadline_ms"`
	DedupMS    int64    `json:"dedup_ms"`
	Handshake  bool     `json:"handshake"`
	Retries    string   `json:"retries"`
	Quirks     []string `json:"quirks"`
	Sources    []string `json:"sources"`
}

// AuditPage is the newest changes.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next"`
}

// AuditEntry is one change that an operator made.
type AuditEntry struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Target string    `json:"target"`
	Detail string    `json:"detail"`
}
