package verifiers

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// curlFlags are options of curl without an argument that do not change what is sent.
var curlFlags = map[string]bool{
	"-s": true, "--silent": true, "-S": true, "--show-error": true, "-k": true, "--insecure": true, "-L": true, "--location": true, "-i": true, "--include": true, "-v": true,
	"--verbose": true, "-f": true, "--fail": true, "--compressed": true, "-sS": true, "--http1.1": true, "--http2": true, "-#": true, "-g": true, "--globoff": true,
}

// curlSkipped are options with an argument that do not change what is sent.
var curlSkipped = map[string]bool{
	"-o": true, "--output": true, "-m": true, "--max-time": true, "--connect-timeout": true, "-w": true, "--write-out": true, "-x": true, "--proxy": true, "--retry": true, "--resolve": true,
	"--cacert": true, "--cert": true, "--key": true,
}

// curl is a command line being read.
type curl struct {
	r    Request
	addr string
	data []string
	get  bool
	// defaultType is the content type of the body where no header says another.
	defaultType string
}

// curlOptions are the options that make the request.
var curlOptions = map[string]func(c *curl, v string) error{
	"--request":        func(c *curl, v string) error { c.r.Method = strings.ToUpper(v); return nil },
	"--url":            func(c *curl, v string) error { c.addr = v; return nil },
	"--header":         (*curl).header,
	"--data":           (*curl).addData,
	"--data-binary":    (*curl).addData,
	"--data-raw":       func(c *curl, v string) error { c.addText(v); return nil },
	"--data-urlencode": (*curl).urlencode,
	"--json":           (*curl).json,
	"--user": func(c *curl, v string) error {
		c.set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(v)))
		return nil
	},
	"--user-agent": func(c *curl, v string) error { c.set("User-Agent", v); return nil },
	"--referer":    func(c *curl, v string) error { c.set("Referer", v); return nil },
	"--cookie":     func(c *curl, v string) error { c.set("Cookie", v); return nil },
}

var curlShort = map[string]string{
	"-X": "--request", "-H": "--header", "-d": "--data", "--data-ascii": "--data", "-u": "--user", "-A": "--user-agent", "-e": "--referer", "-b": "--cookie",
}

// parseCurl reads a command line as a shell and curl would.
func parseCurl(line string) (*Request, error) {
	words, err := shellWords(line)
	if err != nil {
		return nil, err
	}
	c := &curl{r: Request{Header: http.Header{}}}
	for i := 1; i < len(words); i++ {
		name, value, inline := splitOption(words[i])
		set, takes := curlOptions[name]
		switch {
		case !strings.HasPrefix(words[i], "-"):
			c.addr = words[i]
			continue
		case curlFlags[name]:
			continue
		case name == "-G" || name == "--get":
			c.get = true
			continue
		case !takes && !curlSkipped[name]:
			return nil, fmt.Errorf("%w: curl option %s is not understood", ErrCapture, name)
		}
		if !inline {
			if i++; i == len(words) {
				return nil, fmt.Errorf("%w: curl option %s needs a value", ErrCapture, name)
			}
			value = words[i]
		}
		if takes {
			if err := set(c, value); err != nil {
				return nil, err
			}
		}
	}
	return c.request()
}

// splitOption reads --name, --name=value, -X and -Xvalue, and gives the long name.
func splitOption(word string) (name, value string, inline bool) {
	if strings.HasPrefix(word, "--") {
		name, value, inline = strings.Cut(word, "=")
	} else if name = word; len(word) > 2 && word[0] == '-' && !curlFlags[word] {
		name, value, inline = word[:2], word[2:], true
	}
	if long, ok := curlShort[name]; ok {
		name = long
	}
	return name, value, inline
}

func (c *curl) set(name, v string) { c.r.Header.Set(name, v) }

func (c *curl) header(v string) error {
	name, value, ok := strings.Cut(v, ":")
	if !ok {
		name, _, ok = strings.Cut(v, ";") // "Name;" sends an empty header
	}
	if !ok || name == "" {
		return fmt.Errorf("%w: a header is not Name: value", ErrCapture)
	}
	c.r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

// addText adds to the body; several parts are joined by &.
func (c *curl) addText(v string) {
	c.data = append(c.data, v)
	if c.defaultType == "" {
		c.defaultType = "application/x-www-form-urlencoded"
	}
}

func (c *curl) addData(v string) error {
	if strings.HasPrefix(v, "@") {
		return fmt.Errorf("%w: the body is read from a file: put its content into the command with --data-raw", ErrCapture)
	}
	c.addText(v)
	return nil
}

func (c *curl) urlencode(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok {
		name, value = "", v
	}
	text := url.QueryEscape(value)
	if name != "" {
		text = name + "=" + text
	}
	c.addText(text)
	return nil
}

func (c *curl) json(v string) error {
	c.defaultType = "application/json"
	return c.addData(v)
}

func (c *curl) request() (*Request, error) {
	if c.addr == "" {
		return nil, fmt.Errorf("%w: the curl command has no address", ErrCapture)
	}
	if !strings.Contains(c.addr, "://") {
		c.addr = "http://" + c.addr
	}
	u, err := captureURL(c.addr, c.r.Header)
	if err != nil {
		return nil, err
	}
	c.r.URL = u
	switch body := strings.Join(c.data, "&"); {
	case c.get && body != "":
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+body, "&")
	case c.data != nil:
		c.r.Body = []byte(body)
	}
	if c.defaultType != "" && !c.get && c.r.Header.Get("Content-Type") == "" {
		c.set("Content-Type", c.defaultType)
	}
	switch {
	case c.r.Method != "":
	case c.data != nil && !c.get:
		c.r.Method = http.MethodPost
	default:
		c.r.Method = http.MethodGet
	}
	return &c.r, nil
}

// shellWords splits a command line as a POSIX shell does: quotes, backslashes, $'...', continued lines. Nothing is expanded.
func shellWords(line string) ([]string, error) {
	var words []string
	var b strings.Builder
	in := false // a word has begun, though it may be empty
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; {
		case ch == '\\' && i+1 < len(line):
			i++
			if line[i] == '\r' && i+1 < len(line) && line[i+1] == '\n' {
				i++
			}
			if line[i] != '\n' {
				b.WriteByte(line[i])
				in = true
			}
		case ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		case ch == '\'' || ch == '"' || (ch == '$' && strings.HasPrefix(line[i:], "$'")):
			text, n, ok := quoted(line[i:])
			if !ok {
				return nil, fmt.Errorf("%w: a quote is not closed", ErrCapture)
			}
			b.WriteString(text)
			i += n - 1
			in = true
		default:
			b.WriteByte(ch)
			in = true
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words, nil
}

// quoted reads '...', "..." or $'...' at the start of s and returns its text and length.
func quoted(s string) (text string, n int, ok bool) {
	kind := s[0]
	i := 1
	if kind == '$' {
		i = 2
	}
	var b strings.Builder
	for ; i < len(s); i++ {
		switch {
		case kind == '\'' && s[i] == '\'', kind == '"' && s[i] == '"', kind == '$' && s[i] == '\'':
			return b.String(), i + 1, true
		case kind == '"' && s[i] == '\\' && i+1 < len(s):
			i++
			if !strings.ContainsRune("\"\\$`\n", rune(s[i])) {
				b.WriteByte('\\')
			}
			if s[i] != '\n' {
				b.WriteByte(s[i])
			}
		case kind == '$' && s[i] == '\\' && i+1 < len(s):
			used, text := ansiEscape(s[i+1:])
			b.WriteString(text)
			i += used
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, false
}

// ansiEscape reads what follows a backslash in $'...' and returns how many bytes it used.
func ansiEscape(s string) (used int, text string) {
	switch s[0] {
	case 'n':
		return 1, "\n"
	case 'r':
		return 1, "\r"
	case 't':
		return 1, "\t"
	case 'x', 'u', 'U':
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]
		n := 0
		for n < digits && n+1 < len(s) && strings.IndexByte("0123456789abcdefABCDEF", s[n+1]) >= 0 {
			n++
		}
		v, err := strconv.ParseUint(s[1:1+n], 16, 32)
		if err != nil {
			return 1, `\` + s[:1]
		}
		if s[0] == 'x' {
			return 1 + n, string([]byte{byte(v)})
		}
		return 1 + n, string(utf8.AppendRune(nil, rune(v)))
	}
	return 1, s[:1]
}
