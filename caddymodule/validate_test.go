package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// validate provisions a configuration as `caddy validate` does.
func validate(config []byte) error {
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

// validateJSON validates a configuration of the given app and of sources, each in a server of its own.
func validateJSON(app string, sources ...string) error {
	var servers []string
	for i, source := range sources {
		servers = append(servers, fmt.Sprintf(`"s%d": {"listen": ["127.0.0.1:%d"], "routes": [{"handle": [%s]}]}`, i, i+1, strings.Replace(source, "{", `{"handler": "webhook", `, 1)))
	}
	return validate([]byte(fmt.Sprintf(`{"admin": {"disabled": true, "config": {"persist": false}}, "apps": {"webhooks": %s, "http": {"servers": {%s}}}}`,
		app, strings.Join(servers, ", "))))
}

// TestConfigurationErrorsInJSON checks mistakes that the Caddyfile has no words for, or finds earlier.
func TestConfigurationErrorsInJSON(t *testing.T) {
	const one = `{"provider": "stripe", "secrets": ["x"], "forwards": [%s]}`
	const declared = `{"destinations": {"app": {"to": ["http://127.0.0.1:9000"]}}}`
	const retries = `{"destinations": {"b": {"to": ["http://a"], "retry": %s}}}`
	inline := func(source, url string) string {
		return fmt.Sprintf(`{"provider": "stripe", "secrets": ["x"], "name": %q, "forwards": [{"inline": {"to": [%q]}}]}`, source, url)
	}
	for name, test := range map[string]struct {
		app     string
		sources []string
		want    string // nothing: it is valid
	}{
		"copies in two servers":     {`{}`, []string{inline("shop", "http://a/x"), inline("shop", "http://a/x")}, ""},
		"inline names, one source":  {`{}`, []string{fmt.Sprintf(one, `{"inline": {"to": ["http://a/x?1"]}}, {"inline": {"to": ["http://a/x?2"]}}`)}, "forward 2: inline destination"},
		"inline names, two sources": {`{}`, []string{inline("shop", "http://eu-a/x"), inline("shop-eu", "http://a/x")}, `has another one with the same name`},
		"inline destination twice":  {`{}`, []string{fmt.Sprintf(one, `{"inline": {"to": ["http://a/x"]}}, {"inline": {"to": ["http://a/x"]}}`)}, "to one destination twice"},
		"destination twice":         {declared, []string{fmt.Sprintf(one, `{"destination": "app"}, {"destination": "app"}`)}, "to one destination twice"},

		"address":               {`{"destinations": {"b": {"to": ["/hooks"]}}}`, nil, `destination b: to "/hooks": want a URL`},
		"upstream":              {`{"destinations": {"b": {"to": ["ftp://a"]}}}`, nil, "unsupported URL scheme ftp://"},
		"own header removed":    {`{"destinations": {"b": {"to": ["http://a"], "headers": {"delete": ["webhook-*"]}}}}`, nil, "destination b: header -webhook-*: would take away Webhook-Id"},
		"own header replaced":   {`{"destinations": {"b": {"to": ["http://a"], "headers": {"replace": {"webhook-id": [{"search": "x"}]}}}}}`, nil, "destination b: header webhook-id: is the gateway's own"},
		"own header in proxy":   {`{"destinations": {"b": {"to": ["http://a"], "proxy": {"headers": {"request": {"set": {"Webhook-Id": ["x"]}}}}}}}`, nil, "destination b: proxy: header_up: header Webhook-Id: is the gateway's own"},
		"length of the body":    {`{"destinations": {"b": {"to": ["http://a"], "headers": {"set": {"Content-Length": ["3"]}}}}}`, nil, "destination b: header Content-Length: follows from the body"},
		"own header":            {`{"destinations": {"b": {"to": ["http://a"], "headers": {"add": {"webhook-id": ["x"]}}}}}`, nil, "destination b: header webhook-id: is the gateway's own"},
		"token_url":             {`{"destinations": {"b": {"to": ["http://a"], "auth": {"oauth2": {"client_id": "a", "client_secret": "b"}}}}}`, nil, `destination b: auth: oauth2: token_url "": want a URL`},
		"enrich header":         {declared, []string{fmt.Sprintf(one, `{"destination": "app", "enrich": {"url": "http://a/", "headers": {"X Y": "z"}}}`)}, `enrich: header "X Y": want a name`},
		"mask":                  {`{}`, []string{`{"provider": "none", "unsigned_ok": true, "mask": ["json:a"]}`}, "want the path alone: a"},
		"addresses":             {`{"destinations": {"a": {"to": ["app:9000"]}, "b": {"to": [":9000"]}, "c": {"to": ["unix//run/app.sock"]}, "d": {"to": ["app"]}, "e": {"to": ["[::1]:80"]}, "f": {"to": ["h2c://app:80"]}, "g": {"to": ["unix+h2c//run/app.sock"]}}}`, nil, ""},
		"statuses":              {`{"destinations": {"a": {"to": ["app"], "dead_on": ["4xx", "202"], "deliver_on": ["404"], "retry_on": ["409"], "headers": {"delete": ["X-*"]}}}}`, nil, ""},
		"enrich, header twice":  {declared, []string{fmt.Sprintf(one, `{"destination": "app", "enrich": {"url": "http://a/x", "headers": {"A": "b", "a": "c"}}}`)}, "enrich: header a: has two values"},
		"null destination":      {`{"destinations": {"b": null}}`, nil, "destination b: is null"},
		"null alert":            {`{"alerts": {"b": null}}`, nil, "alert b: is null"},
		"null provider":         {`{"providers": {"b": null}}`, []string{`{"provider": "b"}`}, "provider b: is null"},
		"null forward":          {`{}`, []string{fmt.Sprintf(one, "null")}, "forward 1: is null"},
		"negative max_body":     {`{}`, []string{`{"provider": "none", "unsigned_ok": true, "max_body": -1}`}, "max_body: is negative"},
		"large max_body":        {`{}`, []string{`{"provider": "none", "unsigned_ok": true, "max_body": 33554433}`}, "want at most 32 MiB"},
		"largest max_body":      {`{}`, []string{`{"provider": "none", "unsigned_ok": true, "max_body": 33554432}`}, ""},
		"max_body of a store":   {`{"store": {"module": "memory"}}`, []string{`{"provider": "none", "unsigned_ok": true, "max_body": 33554433}`}, ""},
		"negative deadline":     {`{}`, []string{`{"provider": "none", "unsigned_ok": true, "deadline": -1}`}, "deadline: is negative"},
		"negative dedup window": {`{}`, []string{`{"provider": "none", "unsigned_ok": true, "dedup": {"window": -1}}`}, "dedup: window: is negative"},
		"negative park":         {declared, []string{fmt.Sprintf(one, `{"destination": "app", "order_by": ["json:a"], "park": -1}`)}, "forward 1: park: is negative"},
		"negative retain":       {`{"retain": {"dead": -1}}`, nil, "retain: dead: is negative"},
		"negative max_pending":  {`{"store": {"module": "badger", "max_pending": -1}}`, nil, "store badger: max_pending: is negative"},
		"negative min_free":     {`{"store": {"module": "badger", "min_free": -1}}`, nil, "store badger: min_free: is negative"},
		"negative max_size":     {`{"store": {"module": "badger", "max_size": -1}}`, nil, "store badger: max_size: is negative"},
		"negative repeat":       {`{"alerts": {"b": {"on": [{"kind": "dead"}], "repeat": -1}}}`, nil, "alert b: repeat: is negative"},
		"condition twice":       {`{"alerts": {"b": {"on": [{"kind": "disk_low", "count": 1}, {"kind": "dead"}, {"kind": "disk_low", "count": 2}]}}}`, nil, "alert b: has condition disk_low twice"},
		"negative for":          {`{"alerts": {"b": {"on": [{"kind": "dead", "for": -1}]}}}`, nil, "alert b: condition dead: for: is negative"},
		"negative first delay":  {fmt.Sprintf(retries, `{"exponential": {"first": -1}}`), nil, "destination b: retry: first: is negative"},
		"negative max_age":      {fmt.Sprintf(retries, `{"max_age": -1}`), nil, "destination b: retry: max_age: is negative"},
		"jitter alone":          {fmt.Sprintf(retries, `{"jitter": 0.5}`), nil, "destination b: retry: jitter without a schedule"},
		"handle_response":       {`{"destinations": {"b": {"to": ["http://a"], "proxy": {"handle_response": [{}]}}}}`, nil, "destination b: proxy: handle_response has no place here"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateJSON(test.app, test.sources...)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
