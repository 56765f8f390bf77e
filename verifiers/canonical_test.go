package verifiers

import (
	"net/url"
	"testing"
)

// TestCanonicalRequest compares with what npm atlassian-jwt 2.0.3 makes of the same addresses, and with Atlassian's own example.
func TestCanonicalRequest(t *testing.T) {
	for address, want := range map[string]string{
		"http://localhost:2990/path/to/service?zee_last=param&repeated=parameter%201&first=param&repeated=parameter%202": "/path/to/service&first=param&repeated=parameter%201,parameter%202&zee_last=param",
		"https://h/jira?b=x%20y&a=1": "/jira&a=1&b=x%20y",
		"https://h/jira?b=x+y":       "/jira&b=x%20y",
		"https://h/jira?a=2&a=1":     "/jira&a=1,2",
		"https://h/jira?a=1%2c2":     "/jira&a=1%2C2",
		"https://h/jira?a=1&jwt=x":   "/jira&a=1",
		"https://h/jira/":            "/jira&",
		"https://h":                  "/&",
		"https://h/":                 "/&",
		"https://h/a&b?x=y":          "/a%26b&x=y",
		"https://h/a%20b?empty&=v":   "/a%20b&=v&empty=",
		"https://h/?s=!'()*~-._;c=d": "/&s=%21%27%28%29%2A~-._%3Bc%3Dd",
		"https://h/?A=1&b=2&B=3&a=4": "/&A=1&B=3&a=4&b=2",
		"https://h/?z=%C3%A9&a=%zz":  "/&a=%25zz&z=%C3%A9",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := canonicalRequest("post", u); got != "POST&"+want {
			t.Errorf("%s: %s, want POST&%s", address, got, want)
		}
	}
}
