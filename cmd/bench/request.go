package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
)

// secret is what the load is signed with. It protects nothing.
const secret = "the secret of the benchmark"

// idForm is where the id goes: a UUID, which is what GitHub sends.
const idForm = "iiiiiiii-iiii-iiii-iiii-iiiiiiiiiiii"

// request is a signed GitHub delivery that is made ready in place: only the id, in a header and in the body, and the signature change.
type request struct {
	raw          []byte
	id, bodyID   []byte // windows of raw
	body, signed []byte
	mac          hash.Hash
	sum          [sha256.Size]byte
	prefix, next uint64
}

// newRequest makes requests with a JSON body of the given size.
func newRequest(addr, path string, size int) *request {
	body := jsonBody(idForm, size)
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"X-GitHub-Event: push\r\nX-GitHub-Delivery: %s\r\nX-Hub-Signature-256: sha256=%s\r\n\r\n", path, addr, len(body), idForm, strings.Repeat("s", 64))
	q := &request{raw: append([]byte(head), body...), mac: hmac.New(sha256.New, []byte(secret)), prefix: rand.Uint64()}
	q.body = q.raw[len(head):]
	at := bytes.Index(q.raw, []byte(idForm))
	q.id = q.raw[at : at+len(idForm)]
	at = bytes.Index(q.body, []byte(idForm))
	q.bodyID = q.body[at : at+len(idForm)]
	at = bytes.Index(q.raw, []byte("sha256=s")) + len("sha256=")
	q.signed = q.raw[at : at+64]
	return q
}

// jsonBody looks like an event: small fields, one of them the id, and text up to the size.
func jsonBody(id string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"delivery":%q,"ref":"refs/heads/main","repository":{"id":1296269,"full_name":"octocat/hello-world"},"sender":{"login":"octocat"},"commits":[`, id)
	for n := 0; b.Len() < size-160; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%040x","message":"change number %d","distinct":true}`, n, n)
	}
	b.WriteString(`],"pad":"`)
	b.WriteString(strings.Repeat("x", max(0, size-b.Len()-2)))
	b.WriteString(`"}`)
	return b.Bytes()
}

// make gives the request a new id and signs it. What it returns is valid until the next call.
func (q *request) make() []byte {
	q.next++
	var number [16]byte
	binary.LittleEndian.PutUint64(number[:], q.prefix)
	binary.BigEndian.PutUint64(number[8:], q.next)
	var digits [32]byte
	hex.Encode(digits[:], number[:])
	for _, group := range [][3]int{{0, 8, 0}, {9, 13, 8}, {14, 18, 12}, {19, 23, 16}, {24, 36, 20}} {
		copy(q.id[group[0]:group[1]], digits[group[2]:])
	}
	copy(q.bodyID, q.id)
	q.mac.Reset()
	q.mac.Write(q.body)
	hex.Encode(q.signed, q.mac.Sum(q.sum[:0]))
	return q.raw
}
