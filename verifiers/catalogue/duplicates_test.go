package catalogue_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// delivery is what of a request may name its event.
type delivery struct {
	header map[string]string
	query  string
	body   string
}

func body(b string) delivery { return delivery{body: b} }

func form(b string) delivery {
	return delivery{body: b, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}
}

func (d delivery) with(name, value string) delivery {
	d.header = maps.Clone(d.header)
	if d.header == nil {
		d.header = map[string]string{}
	}
	d.header[name] = value
	return d
}

// keys are those of a delivery's events: of each element where the provider's batches are split.
func (d delivery) keys(t *testing.T, id string) []string {
	t.Helper()
	spec, err := catalogue.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Dedup.Off {
		return []string{""}
	}
	spec.Values = map[string]string{}
	for _, p := range spec.Params {
		if p.Required {
			spec.Values[p.Name] = "1"
		}
	}
	r := &verifiers.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/", RawQuery: d.query}, Header: http.Header{},
		Body: []byte(d.body), At: time.Unix(1700000000, 0),
	}
	for name, v := range d.header {
		r.Header.Set(name, v)
	}
	events, err := compile(t, spec).Identify(r, spec.Batch != nil && spec.Batch.Default)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	var keys []string
	for _, e := range events {
		keys = append(keys, e.DedupKey)
	}
	return keys
}

// TestDistinctEvents checks that events which providers are known to send never pass for duplicates of each other.
func TestDistinctEvents(t *testing.T) {
	for _, tc := range distinctEvents {
		t.Run(tc.id, func(t *testing.T) {
			seen := map[string]bool{}
			for _, d := range tc.deliveries {
				for _, key := range d.keys(t, tc.id) {
					if key != "" && seen[key] {
						t.Errorf("%s: %s passes for a duplicate", key, d.body)
					}
					seen[key] = true
				}
			}
		})
	}
}

// TestRetries checks that a retry is told from a new event where it says how often it was tried.
func TestRetries(t *testing.T) {
	for _, tc := range retriedEvents {
		first, again := tc.deliveries[0].keys(t, tc.id), tc.deliveries[1].keys(t, tc.id)
		if strings.Join(first, " ") != strings.Join(again, " ") || first[0] == "" {
			t.Errorf("%s: the retry of %q has the key %q", tc.id, first, again)
		}
	}
}

type told struct {
	id         string
	deliveries []delivery
}

var retriedEvents = []told{
	{"pipedrive", []delivery{
		body(`{"meta":{"version":"2.0","id":"u1","action":"change","attempt":1,"timestamp":"2026-11-22T08:00:00Z"}}`),
		body(`{"meta":{"version":"2.0","id":"u1","action":"change","attempt":2,"timestamp":"2026-11-22T08:00:00Z"}}`),
	}},
	{"pipedrive", []delivery{
		body(`{"retry":0,"meta":{"v":1,"id":8,"action":"updated","object":"deal","timestamp":1523440213,"timestamp_micro":1523440213384700}}`),
		body(`{"retry":1,"meta":{"v":1,"id":8,"action":"updated","object":"deal","timestamp":1523440213,"timestamp_micro":1523440213384700}}`),
	}},
	{"didit", []delivery{body(`{"event_id":"e","timestamp":1}`), body(`{"event_id":"e","timestamp":2}`)}},
	{"microsoft_graph", []delivery{body(`{"value":[{"id":"n1","subscriptionId":"s"}]}`), body(`{"value":[{"id":"n1","subscriptionId":"s"}]}`)}},
	{"hubspot_v3", []delivery{
		body(`[{"eventId":1,"subscriptionId":2,"occurredAt":3,"objectId":4,"attemptNumber":0}]`),
		body(`[{"eventId":1,"subscriptionId":2,"occurredAt":3,"objectId":4,"attemptNumber":1}]`),
	}},
	{"figma", []delivery{body(`{"webhook_id":"22","event_type":"FILE_UPDATE","timestamp":"t","retries":0}`), body(`{"webhook_id":"22","event_type":"FILE_UPDATE","timestamp":"t","retries":1}`)}},
	{"docusign", []delivery{body(`{"event":"e","retryCount":0,"data":{"envelopeId":"1"}}`), body(`{"event":"e","retryCount":1,"data":{"envelopeId":"1"}}`)}},
	{"clickup", []delivery{body(`{"event":"taskUpdated","history_items":[{"id":"1"}]}`), body(`{"event":"taskUpdated","history_items":[{"id":"1"}]}`)}},
	{"twilio", []delivery{
		form("MessageSid=SM1&MessageStatus=sent").with("I-Twilio-Idempotency-Token", "t"), form("MessageSid=SM1&MessageStatus=sent").with("I-Twilio-Idempotency-Token", "t"),
	}},
	{"twilio", []delivery{form("RecordingSid=RE1&RecordingStatus=completed"), form("RecordingSid=RE1&RecordingStatus=completed")}},
	{"jumio", []delivery{
		body(`{"callbackSentAt":"1","workflowExecution":{"id":"1","status":"PROCESSED"}}`), body(`{"callbackSentAt":"1","workflowExecution":{"id":"1","status":"PROCESSED"}}`),
	}},
	{"discourse", []delivery{
		body(`{"post":{"id":1,"updated_at":"1"}}`).with("X-Discourse-Event", "post_edited").with("X-Discourse-Event-Id", "1"),
		body(`{"post":{"id":1,"updated_at":"1"}}`).with("X-Discourse-Event", "post_edited").with("X-Discourse-Event-Id", "2"),
	}},
	{"ably", []delivery{body(`{"items":[{"serial":"s"}]}`), body(`{"items":[{"serial":"s"} ]}`)}},
	{"trello", []delivery{body(`{"action":{"id":"1"},"model":{"id":"1"}}`), body(`{"action":{"id":"1"},"model":{"id":"1","name":"renamed"}}`)}},
	{"slack", []delivery{body(`{"event_id":"1"}`).with("X-Slack-Retry-Num", "1"), body(`{"event_id":"1"}`).with("X-Slack-Retry-Num", "2")}},
	{"ghost", []delivery{
		body(`{"event":"site.changed"}`).with("X-Ghost-Signature", "sha256=00, t=1"), body(`{"event":"site.changed"}`).with("X-Ghost-Signature", "sha256=00, t=1"),
	}},
	{"sumsub", []delivery{body(`{"applicantId":"1","type":"t","createdAtMs":"1","correlationId":"1"}`), body(`{"applicantId":"1","type":"t","createdAtMs":"1","correlationId":"2"}`)}},
}
