package demo

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"
)

// sound returns a stage after a small story in which all sums agree: two events of HeyVisa, one of Vericato that is dead, a repeat and a forgery.
func sound() (*stage, counters) {
	var out bytes.Buffer
	s := &stage{out: newNarrator(&out, false, time.Now), facts: newFacts(), tally: newTally()}
	s.onboarding = &application{name: "onboarding", got: make(map[string]*reception)}
	s.visaDesk = &application{name: "visa_desk", got: make(map[string]*reception)}
	for _, e := range []*entry{
		{Message: msgAccepted, Source: "heyvisa", Event: "wh_1", EventID: "evt_1", Deliveries: 2},
		{Message: msgFailed, Source: "heyvisa", Event: "wh_1", EventID: "evt_1", Destination: "onboarding", Class: "timeout"},
		{Message: msgDelivered, Source: "heyvisa", Event: "wh_1", EventID: "evt_1", Destination: "onboarding"},
		{Message: msgDelivered, Source: "heyvisa", Event: "wh_1", EventID: "evt_1", Destination: "visa_desk"},
		{Message: msgAccepted, Source: "vericato", Event: "wh_2", EventID: "ver_1", Deliveries: 1},
		{Message: msgDead, Source: "vericato", Event: "wh_2", EventID: "ver_1", Destination: "onboarding"},
	} {
		s.facts.apply(e)
	}
	s.tally.events = map[string]bool{"heyvisa evt_1": true, "vericato ver_1": true}
	s.tally.fresh, s.tally.repeats, s.tally.forged = 2, 1, 1
	visa := delivered{source: "heyvisa", eventID: "evt_1"}
	s.onboarding.got["wh_1"] = &reception{delivered: visa, tries: 2, confirmed: 2}
	s.visaDesk.got["wh_1"] = &reception{delivered: visa, tries: 1, confirmed: 1}
	return s, counters{
		"caddy_webhooks_requests_total heyvisa accepted heyvisa":    1,
		"caddy_webhooks_requests_total heyvisa duplicate heyvisa":   1,
		"caddy_webhooks_requests_total vericato accepted vericato":  1,
		"caddy_webhooks_requests_total vericato refused vericato":   1,
		"caddy_webhooks_deliveries_total onboarding delivered":      1,
		"caddy_webhooks_dead onboarding":                            1,
		"caddy_webhooks_deliveries_total visa_desk delivered":       1,
		"caddy_webhooks_attempts_total onboarding delivered":        1,
		"caddy_webhooks_attempts_total onboarding timeout":          1,
		"caddy_webhooks_attempts_total visa_desk delivered":         1,
		"caddy_webhooks_deliveries_total onboarding something_else": 7,
	}
}

// TestReport breaks one account after the other: each must be noticed.
func TestReport(t *testing.T) {
	if s, gateway := sound(); !s.report(gateway) {
		t.Fatal("sums that agree were found wrong")
	}
	for name, spoil := range map[string]func(*stage, counters){
		"a genuine request refused": func(s *stage, _ counters) {
			s.tally.genuine(&request{system: &system{source: "heyvisa"}, eventID: "evt_1"}, http.StatusUnauthorized)
			s.tally.repeats--
		},
		"a forgery accepted":              func(s *stage, _ counters) { s.tally.forged--; s.tally.forgery("heyvisa", "x", 401, 200) },
		"an event lost at the intake":     func(_ *stage, g counters) { g["caddy_webhooks_requests_total heyvisa accepted heyvisa"]-- },
		"a duplicate not found":           func(_ *stage, g counters) { g["caddy_webhooks_requests_total heyvisa duplicate heyvisa"]-- },
		"a refusal not counted":           func(_ *stage, g counters) { g["caddy_webhooks_requests_total vericato refused vericato"]-- },
		"a delivery lost":                 func(_ *stage, g counters) { g["caddy_webhooks_deliveries_total visa_desk delivered"]-- },
		"a dead delivery not kept":        func(_ *stage, g counters) { g["caddy_webhooks_dead onboarding"]-- },
		"a delivery that nobody knows of": func(_ *stage, g counters) { g["caddy_webhooks_pending onboarding"]++ },
		"an event that never arrived":     func(s *stage, _ counters) { delete(s.visaDesk.got, "wh_1") },
		"an event that was not confirmed": func(s *stage, _ counters) { s.visaDesk.got["wh_1"].confirmed = 0 },
		"a delivery made twice":           func(s *stage, _ counters) { s.visaDesk.got["wh_1"].confirmed = 2 },
		"a duplicate stored as another event": func(s *stage, _ counters) {
			s.visaDesk.got["wh_9"] = &reception{delivered: delivered{source: "heyvisa", eventID: "evt_1"}, tries: 1, confirmed: 1}
		},
		"an event from nowhere": func(s *stage, _ counters) {
			s.visaDesk.got["wh_9"] = &reception{delivered: delivered{source: "heyvisa", eventID: "evt_9"}, tries: 1, confirmed: 1}
		},
		"a bad signature":          func(s *stage, _ counters) { s.onboarding.fault("bad") },
		"a session without result": func(s *stage, _ counters) { s.onboarding.got["wh_1"].source = "verifeye" },
	} {
		s, gateway := sound()
		spoil(s, gateway)
		if s.report(gateway) {
			t.Errorf("not noticed: %s", name)
		}
	}
}

// TestSignaturesOfApplications checks that the applications' own code refuses what is not signed right: a demo whose applications take anything shows nothing.
func TestSignaturesOfApplications(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	standard := readStandard("whsec_c2VjcmV0")
	heyvisa := readHeyVisa("secret")
	// computed with the OpenSSL command line from the two specifications
	good := http.Header{
		"Webhook-Id": {"wh_1"}, "Webhook-Timestamp": {"1700000000"}, "Webhook-Signature": {"v1,AAAA v1,j2H9aVTrAEv3OJL6YGq4WQDYtQoqId+p3tvu/ZgzqOc="},
		"Heyvisa-Signature": {"t=1700000000,v1=0c3dacc339a4634eabd85ce31eb5e8b184111313f8938bfb98f5af200d1878e5"},
	}
	body := []byte(`{"specversion":"1.0","id":"evt_1","source":"/webhooks/heyvisa","type":"a.b","data":{}}`)
	if _, err := standard(good, body, now); err != nil {
		t.Errorf("standard: %v", err)
	}
	if _, err := heyvisa(good, body, now); err != nil {
		t.Errorf("heyvisa: %v", err)
	}
	for name, spoil := range map[string]func(h http.Header, body []byte) ([]byte, time.Time){
		"body": func(_ http.Header, body []byte) ([]byte, time.Time) {
			return bytes.Replace(body, []byte("a.b"), []byte("a.c"), 1), now
		},
		"id": func(h http.Header, body []byte) ([]byte, time.Time) { h.Set("Webhook-Id", "wh_2"); return body, now },
		"timestamp": func(h http.Header, body []byte) ([]byte, time.Time) {
			h.Set("Webhook-Timestamp", "1700000001")
			return body, now
		},
		"signature": func(h http.Header, body []byte) ([]byte, time.Time) { h.Del("Webhook-Signature"); return body, now },
		"age":       func(_ http.Header, body []byte) ([]byte, time.Time) { return body, now.Add(signatureAge + time.Second) },
	} {
		h := good.Clone()
		spoiled, at := spoil(h, body)
		if _, err := standard(h, spoiled, at); err == nil {
			t.Errorf("standard takes a request with another %s", name)
		}
	}
	if _, err := heyvisa(good, append(body, ' '), now); !errors.Is(err, errSignature) {
		t.Errorf("heyvisa takes another body: %v", err)
	}
	if _, err := heyvisa(good, body, now.Add(-signatureAge-time.Second)); err == nil {
		t.Error("heyvisa takes a time in the future")
	}
}
