package verifiers_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func TestParseCapture(t *testing.T) {
	const har = `{"log":{"version":"1.2","entries":[{"startedDateTime":"2026-11-21T12:00:00.000Z","request":{"method":"POST","url":"https://h.example/in?x=1",
		"headers":[{"name":":authority","value":"h.example"},{"name":"X-Sig","value":"abc"}],"postData":{"mimeType":"application/json","text":"{\"a\":1}\n"}}},
		{"startedDateTime":"2026-11-21T12:00:01.000Z","request":{"method":"POST","url":"https://h.example/b","headers":[],"postData":{"text":"AAEC","encoding":"base64"}}}]}}`
	for _, c := range []struct{ name, in, method, addr, sig, contentType, body string }{
		{"http", "POST /in?x=1 HTTP/1.1\r\nHost: h.example\r\nX-Sig: abc\r\nContent-Type: application/json\r\n\r\n{\"a\":1}", "POST", "https://h.example/in?x=1", "abc", "application/json", `{"a":1}`},
		{"line feeds only", "POST /in HTTP/1.1\nHost: h.example\nX-Sig: abc\n\n{\"a\":1}\n", "POST", "https://h.example/in", "abc", "", "{\"a\":1}\n"},
		{"content length", "POST /in HTTP/1.1\nHost: h.example\nContent-Length: 7\n\n{\"a\":1}\n", "POST", "https://h.example/in", "", "", `{"a":1}`},
		{"empty lines in the body", "POST /in HTTP/1.1\nHost: h.example\n\na\n\nb", "POST", "https://h.example/in", "", "", "a\n\nb"},
		{"chunked", "POST / HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST", "https://h.example/", "", "", "abc"},
		{"joined chunks", "POST / HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n{}", "POST", "https://h.example/", "", "", "{}"},
		{"absolute", "GET http://h.example:81/x HTTP/1.1\n\n", "GET", "http://h.example:81/x", "", "", ""},
		{"forwarded", "GET /x HTTP/1.1\nHost: h.example\nX-Forwarded-Proto: http\n\n", "GET", "http://h.example/x", "", "", ""},
		{"byte order mark", "\xef\xbb\xbfGET /x HTTP/1.1\nHost: h.example\n\n", "GET", "https://h.example/x", "", "", ""},
		{"har", har, "POST", "https://h.example/in?x=1", "abc", "", "{\"a\":1}\n"},
		{"curl", `curl -sS -X POST 'https://h.example/in' -H 'X-Sig: abc' -H "Content-Type: application/json" --data-raw '{"a":"it'\''s"}'`, "POST", "https://h.example/in", "abc", "application/json", `{"a":"it's"}`},
		{"curl lines", "curl \\\n  https://h.example/in \\\n  --header 'X-Sig: abc' \\\r\n  -d $'{\\n\\u00e9\\x41}'", "POST", "https://h.example/in", "abc", "application/x-www-form-urlencoded", "{\néA}"},
		{"curl short", `curl -XPUT -HX-Sig:abc --url=https://h.example -d a=1 -d b=2`, "PUT", "https://h.example/", "abc", "application/x-www-form-urlencoded", "a=1&b=2"},
		{"curl get", `curl -G https://h.example/in --data-urlencode "q=a b"`, "GET", "https://h.example/in?q=a+b", "", "", ""},
		{"curl json", `curl --json '{}' h.example`, "POST", "http://h.example/", "", "application/json", "{}"},
	} {
		rs, err := verifiers.ParseCapture([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		r := rs[0]
		if r.Method != c.method || r.URL.String() != c.addr || r.Header.Get("X-Sig") != c.sig || string(r.Body) != c.body || r.Header.Get("Content-Type") != c.contentType && c.contentType != "" {
			t.Errorf("%s: %s %s %v %q", c.name, r.Method, r.URL, r.Header, r.Body)
		}
		if len(r.Header.Values("Content-Type")) > 1 {
			t.Errorf("%s: two content types", c.name)
		}
	}
	rs, err := verifiers.ParseCapture([]byte(har))
	if err != nil || len(rs) != 2 || string(rs[1].Body) != "\x00\x01\x02" || !rs[1].At.Equal(time.Date(2026, 11, 21, 12, 0, 1, 0, time.UTC)) {
		t.Errorf("second entry: %v %v", rs, err)
	}
}

func TestParseCaptureErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "empty",
		"hello":                    "empty line",
		"hello\n\n":                "request line",
		"POST /\n\n":               "Host",
		"POST / HTTP/1.1\nbad\n\n": "Name: value",
		"POST / HTTP/1.1\nHost: x\nContent-Length: 9\n\nab": "cut off",
		"POST / HTTP/1.1\nHost: x\nContent-Length: a\n\nab": "number",
		`{"a":1}`:                         "HAR",
		`{"log":{"entries":[]}}`:          "HAR",
		"curl":                            "empty line",
		"curl -X POST":                    "no address",
		"curl -d @file https://x":         "file",
		"curl -F a=b https://x":           "-F",
		"curl 'https://x":                 "quote",
		"curl https://x -H":               "needs a value",
		"curl https://x -H nocolon":       "Name: value",
		"curl --unknown-option https://x": "--unknown-option",
	} {
		_, err := verifiers.ParseCapture([]byte(in))
		if !errors.Is(err, verifiers.ErrCapture) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, expected %q in it", in, err, want)
		}
	}
}

// FuzzCapture reads arbitrary captures: they are read or refused, and what is read has an address.
func FuzzCapture(f *testing.F) {
	for _, s := range []string{
		"POST /in HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\nbody", `curl -X POST https://h -H 'A: b' -d $'a\x41'`, `{"log":{"entries":[{"request":{"url":"https://h"}}]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := verifiers.ParseCapture(data)
		if err != nil {
			if !errors.Is(err, verifiers.ErrCapture) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, r := range rs {
			if r.URL == nil || r.URL.Host == "" {
				t.Errorf("no address in %q", data)
			}
		}
	})
}
