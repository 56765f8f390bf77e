package verifiers

import (
	"net/http"
	"net/url"
	"testing"
)

// TestTemplateText renders templates over a request that has something in every place.
func TestTemplateText(t *testing.T) {
	p := &Provider{spec: &Spec{}, params: map[string]string{"hook": "wh1"}}
	u, err := url.Parse("https://hooks.example.com/in?z=1&a=%20b")
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{
		Method: http.MethodPost, URL: u, Header: http.Header{"X-Id": {"h1"}, "Content-Type": {"application/x-www-form-urlencoded"}},
		Body: []byte("b=2&a=1&a=0&a=1"),
	}
	a := newAttempt(p, r)
	defer a.release()
	a.timestamp, a.id, a.keyID, a.key = "1700000000", "msg_1", "k1", &key{bytes: []byte("s3cret"), id: "pub"}
	for _, c := range []struct{ template, want string }{
		{"{timestamp}.{body}", "1700000000.b=2&a=1&a=0&a=1"},
		{"{id}:{key_id}:{secret_id}", "msg_1:k1:pub"},
		{"{method} {target}\n{path}", "POST /in?z=1&a=%20b\n/in"},
		{`{method}\n{query}\t\\\{x}`, "POST\nz=1&a=%20b\t\\{x}"},
		{"{url}{form_sorted}", "https://hooks.example.com/in?z=1&a=%20ba0a1b2"},
		{"{query_sorted}", "a= b&z=1"},
		{"{header.x-id}{header:X-ID}", "h1h1"},
		{"{param.hook}|{param.none}|", "wh1||"},
		{"{secret}{body}", "s3cretb=2&a=1&a=0&a=1"},
		{`{"challenge":{form.b>json},"n":{form.b}}`, `{"challenge":"2","n":2}`},
		{"{?form.b}b={form.b};{/}{?form.c}c={form.c};{/}end", "b=2;end"},
		{"{form.b+param.hook>sha256>hex}", ""},
		{"{body>crc32}", ""},
		{"{form.b>hmac_sha1>hex}", ""},
	} {
		tmpl, err := ParseTemplate(c.template)
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		got := tmpl.string(a)
		switch c.template {
		case "{form.b+param.hook>sha256>hex}":
			c.want = encodeSignature("hex", false, digest(hashes["sha256"].New, "2wh1"))
		case "{form.b>hmac_sha1>hex}":
			m := a.key.mac(hashes["sha1"].New, a)
			m.Write([]byte("2"))
			c.want = encodeSignature("hex", false, m.Sum(nil))
		case "{body>crc32}":
			c.want, _ = plainFuncs["crc32"](string(r.Body))
		}
		if got != c.want {
			t.Errorf("%s: %q, expected %q", c.template, got, c.want)
		}
	}
}

// TestFormatRead reads signature values of all shapes.
func TestFormatRead(t *testing.T) {
	type item struct{ value, ts, key string }
	for _, c := range []struct {
		format, separator string
		optional          bool
		value             string
		want              []item
	}{
		{"", "", false, "abc", []item{{"abc", "", ""}}},
		{"", "", false, " abc ", []item{{"abc", "", ""}}},
		{"sha256={signature}", "", false, "sha256=abc", []item{{"abc", "", ""}}},
		{"sha256={signature}", "", false, "abc", nil},
		{"sha256={signature}", "", true, "abc", []item{{"abc", "", ""}}},
		{"sha256={signature}", "", false, "sha256=", nil},
		{"t={timestamp},v1={signature}", "", false, "t=1,v1=a,v1=b,v0=c", []item{{"a", "1", ""}, {"b", "1", ""}}},
		{"t={timestamp},v1={signature}", "", false, "v1=a, t=1", []item{{"a", "1", ""}}},
		{"t={timestamp},v1={signature}", "", false, "v1=ab==,t=1", []item{{"ab==", "1", ""}}},
		{"t={timestamp},v1={signature}", ", ", false, "t=1,v1=a t=2,v1=b", []item{{"a", "1", ""}, {"b", "2", ""}}},
		{"t={timestamp},v1={signature}", "", false, "t=1", nil},
		{"ts={timestamp};h1={signature}", "", false, "ts=1;h1=a;h1=b", []item{{"a", "1", ""}, {"b", "1", ""}}},
		{"{timestamp},{signature}", "", false, "1,a,b", []item{{"a", "1", ""}, {"b", "1", ""}}},
		{"v1,{signature}", " ", false, "v1,a v2,x v1,b v1a,c", []item{{"a", "", ""}, {"b", "", ""}}},
		{"{key_id}|{signature}", "&", false, "k1|a&k2|b", []item{{"a", "", "k1"}, {"b", "", "k2"}}},
		{"algorithm=RSA256,keyVersion={key_id},signature={signature}", "", false, "algorithm=RSA256,keyVersion=1,signature=ab", []item{{"ab", "", "1"}}},
		{"t={timestamp},v1={signature}", "", false, ",,,=,t=,v1=", nil},
	} {
		f, err := parseFormat(c.format, c.separator)
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		items, err := f.read(nil, c.value, c.optional)
		if err != nil || len(items) != len(c.want) {
			t.Errorf("%s of %q: %v %v, expected %v", c.format, c.value, items, err, c.want)
			continue
		}
		for i, w := range c.want {
			if got := (item{items[i].value, items[i].timestamp, items[i].keyID}); got != w {
				t.Errorf("%s of %q: %v, expected %v", c.format, c.value, got, w)
			}
		}
	}
	for _, format := range []string{"x", "{signature}{timestamp}", "{signature},{signature}", "{nonce}{signature}", "{signature", "{timestamp}"} {
		if _, err := parseFormat(format, ""); err == nil {
			t.Errorf("%q is a format", format)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, c := range []struct {
		unit, text string
		unix       int64 // -1: malformed
	}{
		{"unix", "1700000000", 1700000000}, {"unix", "0", 0}, {"unix", "-1", -1}, {"unix", "+1", -1}, {"unix", "1e9", -1}, {"unix", "", -1},
		{"unix", "99999999999999999999", -1}, {"unix", "9223372036854775807", -1}, {"unix", "253402300799", 253402300799}, {"unix", "253402300800", -1},
		{"unix_ms", "1700000000123", 1700000000}, {"unix_ms", "9223372036854775807", -1},
		{"auto", "1700000000", 1700000000}, {"auto", "1700000000123", 1700000000}, {"auto", "9223372036854775807", -1},
		{"rfc3339", "2023-11-14T22:13:20Z", 1700000000}, {"rfc3339", "2023-11-14T22:13:20.123456789+00:00", 1700000000}, {"rfc3339", "2023-11-14", -1},
		{"rfc3339_no_zone", "2023-11-14T22:13:20", 1700000000}, {"rfc3339_no_zone", "2023-11-14T22:13:20.5", 1700000000},
		{"http_date", "Tue, 14 Nov 2023 22:13:20 GMT", 1700000000}, {"http_date", "x", -1},
	} {
		at, err := parseTime(c.unit, c.text)
		if (err != nil) != (c.unix < 0) || (err == nil && at.Unix() != c.unix) {
			t.Errorf("%s %q: %v %v", c.unit, c.text, at, err)
		}
	}
}
