package caddymodule

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailHabits are what a mail server in a test does in its own way.
type mailHabits struct {
	tls      *tls.Config
	implicit bool     // TLS from the start
	starttls bool     // offers it
	auth     []string // offers these, once TLS is there
	password string   // that is right
	refuse   []string // recipients
	hangAt   string   // a verb that is not answered; "GREETING" for the greeting, "." for the end of the message
	dropAt   string   // a verb at which the connection is closed; "." in the middle of the message
	reply    map[string]string
}

// mailServer speaks as much SMTP as it takes to accept messages.
type mailServer struct {
	mailHabits
	address string
	once    string // the answer to the next RCPT command
	mu      sync.Mutex
	got     []string // envelope and message
	said    []string // all lines but the messages'
	arrived chan struct{}
}

func startMailServer(t *testing.T, habits mailHabits) *mailServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{mailHabits: habits, address: l.Addr().String(), arrived: make(chan struct{}, 100)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return s
}

// serve ends when the client or the server has enough.
func (s *mailServer) serve(conn net.Conn) {
	secured := s.implicit
	if s.implicit {
		conn = tls.Server(conn, s.tls)
	}
	text := textproto.NewConn(conn)
	if s.hangAt == "GREETING" {
		_, _ = io.Copy(io.Discard, text.R) // until the client leaves
		return
	}
	envelope := ""
	for verb, line := "GREETING", ""; ; {
		answer := "250 ok"
		switch {
		case verb == s.dropAt:
			return
		case verb == s.hangAt:
			_, _ = io.Copy(io.Discard, text.R)
			return
		case s.reply[verb] != "":
			answer = s.reply[verb]
		case verb == "GREETING":
			answer = "220 ready"
		case verb == "EHLO":
			answer = s.extensions(secured)
		case verb == "STARTTLS" && s.starttls:
			if text.PrintfLine("220 go on") != nil {
				return
			}
			conn, secured = tls.Server(conn, s.tls), true
			text = textproto.NewConn(conn)
			answer = ""
		case verb == "AUTH":
			answer = s.prove(text, line)
		case verb == "MAIL":
			envelope = line + "\n"
		case verb == "RCPT":
			if answer = s.recipient(line); answer == "250 ok" {
				envelope += line + "\n"
			}
		case verb == "DATA":
			answer = s.take(text, envelope)
		case verb == "QUIT":
			answer = "221 bye"
		default:
			answer = "502 what?"
		}
		if answer == "closed" || answer != "" && text.PrintfLine("%s", answer) != nil {
			return
		}
		var err error
		if line, err = text.ReadLine(); err != nil {
			return
		}
		s.mu.Lock()
		s.said = append(s.said, line)
		s.mu.Unlock()
		verb, _, _ = strings.Cut(strings.ToUpper(line), " ")
	}
}

func (s *mailServer) extensions(secured bool) string {
	lines := []string{"250-mail.example.com"}
	if s.starttls && !secured {
		lines = append(lines, "250-STARTTLS")
	}
	if len(s.auth) > 0 && secured {
		lines = append(lines, "250-AUTH "+strings.Join(s.auth, " "))
	}
	return strings.Join(append(lines, "250 8BITMIME"), "\r\n")
}

// prove asks as AUTH PLAIN and AUTH LOGIN do.
func (s *mailServer) prove(text *textproto.Conn, line string) string {
	words := strings.Fields(line)
	given := ""
	if words[1] == "LOGIN" {
		for _, prompt := range []string{"Username:", "Password:"} {
			if text.PrintfLine("334 %s", base64.StdEncoding.EncodeToString([]byte(prompt))) != nil {
				return "closed"
			}
			word, err := text.ReadLine()
			raw, wrong := base64.StdEncoding.DecodeString(word)
			if err != nil || wrong != nil {
				return "501 not base64"
			}
			given += "\x00" + string(raw)
		}
	} else if raw, err := base64.StdEncoding.DecodeString(words[2]); err == nil {
		given = string(raw)
	}
	if given != "\x00sluice\x00"+s.password {
		return "535 no such user or password"
	}
	return "235 welcome"
}

func (s *mailServer) recipient(line string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if once := s.once; once != "" {
		s.once = ""
		return once
	}
	for _, name := range s.refuse {
		if strings.Contains(line, "<"+name+">") {
			return "550 5.1.1 no such user " + name
		}
	}
	return "250 ok"
}

// take reads the message.
func (s *mailServer) take(text *textproto.Conn, envelope string) string {
	if text.PrintfLine("354 go on") != nil {
		return "closed"
	}
	if s.dropAt == "." {
		_, _ = text.ReadLine()
		return "closed"
	}
	message, err := io.ReadAll(text.DotReader())
	if err != nil {
		return "closed"
	}
	if s.hangAt == "." {
		_, _ = io.Copy(io.Discard, text.R)
		return "closed"
	}
	s.mu.Lock()
	s.got = append(s.got, envelope+"\n"+string(message))
	s.mu.Unlock()
	s.arrived <- struct{}{}
	return "250 taken"
}

func (s *mailServer) await(t *testing.T, n int) []string {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		got := append([]string(nil), s.got...)
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-s.arrived:
		case <-timeout.C:
			t.Fatalf("%d messages, want %d", len(got), n)
		}
	}
}
