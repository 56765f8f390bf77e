package dashboard

import "time"

// Series is what happened in a time, in equal steps.
type Series struct {
	Start        time.Time                    `json:"start"`
	StepSeconds  int                          `json:"step_seconds"`
	Steps        int                          `json:"steps"`
	Sources      map[string]SourceSeries      `json:"sources"`
	Destinations map[string]DestinationSeries `json:"destinations"`
}

// SourceSeries counts the requests of a source in each step.
type SourceSeries struct {
	Accepted  []uint32  `json:"accepted"`
	Duplicate []uint32  `json:"duplicate"`
	Refused   []uint32  `json:"refused"`
	Error     []uint32  `json:"error"`
	AckMS     []float64 `json:"ack_ms"`
}

// DestinationSeries counts the attempts at a destination in each step.
type DestinationSeries struct {
	Delivered []uint32  `json:"delivered"`
	Failed    []uint32  `json:"failed"`
	Dead      []uint32  `json:"dead"`
	AttemptMS []float64 `json:"attempt_ms"`
}

// BreakerChange is a breaker that opened, closed or began to probe.
type BreakerChange struct {
	At    time.Time `json:"at"`
	State string    `json:"state"`
}

// RequestPage is one page of requests.
type RequestPage struct {
	Requests []Request `json:"requests"`
	Next     string    `json:"next"`
}

// Request is a request that arrived, and what became of it.
type Request struct {
	At         time.Time `json:"at"`
	Source     string    `json:"source"`
	Provider   string    `json:"provider"`
	Result     string    `json:"result"`
	Reason     string    `json:"reason"`
	Status     int       `json:"status"`
	ClientIP   string    `json:"client_ip"`
	Event      string    `json:"event"`
	EventID    string    `json:"event_id"`
	Type       string    `json:"type"`
	Size       int       `json:"size"`
	DurationMS float64   `json:"duration_ms"`
}

// RefusedPage is one page of the quarantine.
type RefusedPage struct {
	Requests []Refused `json:"requests"`
	Next     string    `json:"next"`
	NotKept  int       `json:"not_kept"`
}

// Refused is a refused request.
type Refused struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	Provider string    `json:"provider"`
	At       time.Time `json:"at"`
	ClientIP string    `json:"client_ip"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Size     int       `json:"size"`
	NoBody   bool      `json:"no_body"`
	NoHeader bool      `json:"no_header"`
	Findings []Finding `json:"findings"`
}

// Finding is one possible cause of a refusal.
type Finding struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Proved bool   `json:"proved"`
}

// RefusedDetail is all about a refused request but its payload.
type RefusedDetail struct {
	Refused
	Method        string              `json:"method"`
	URL           string              `json:"url"`
	Header        map[string][]string `json:"header"`
	PayloadHidden bool                `json:"payload_hidden"`
}

// ProviderDetail is a provider with the part of its data that the pages show.
type ProviderDetail struct {
	Provider
	Spec struct {
		ConfirmedBy string  `json:"confirmed_by"`
		Custom      string  `json:"custom"`
		Params      []Param `json:"params"`
		Examples    []struct {
			Type string `json:"type"`
		} `json:"examples"`
	} `json:"spec"`
}

// Param is a value beside the secret that a provider needs.
type Param struct {
	Name     string `json:"name"`
	Doc      string `json:"doc"`
	Required bool   `json:"required"`
	Secret   bool   `json:"secret"`
	Default  string `json:"default"`
}

// TestSend is what became of a test event.
type TestSend struct {
	Source     string  `json:"source"`
	Status     int     `json:"status"`
	Result     string  `json:"result"`
	Reason     string  `json:"reason"`
	Event      string  `json:"event"`
	DurationMS float64 `json:"duration_ms"`
}

// Trial is what a destination answered to a test event.
type Trial struct {
	Delivered  bool    `json:"delivered"`
	Status     int     `json:"status"`
	Class      string  `json:"class"`
	Error      string  `json:"error"`
	Response   string  `json:"response"`
	DurationMS float64 `json:"duration_ms"`
}
