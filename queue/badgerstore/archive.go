package badgerstore

import (
	"bufio"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// A backup is a header and chunks:
//
//	header  magic "SLUICEB1", format u32, flags u32 (archiveSealed), created i64 (Unix ns), last event u64, salt 16 bytes, CRC32C u32
//	chunk   length u32, kind u32, CRC32C u32 over its position u64, its kind and its payload, payload
//
// The payload of a chunk of rows is key and value of each, preceded by their lengths as varints; if the store is encrypted, so is the payload, with
// AES-256-GCM and a key of its own, derived from the store's and the salt; its position is the nonce, the header is authenticated with it. The last chunk says
// how much there was: rows, events and damaged events as u64, and for an encrypted backup the seal of that. So a backup that is cut short, mixed up or
// changed is seen, without the key too.
const (
	archiveMagic  = "SLUICEB1"
	archiveHeader = 52
	archiveSealed = 1

	chunkHeader = 12
	chunkRows   = 1
	chunkEnd    = 2
	chunkSize   = 1 << 20
	maxChunk    = 128 << 20
	archiveTail = 24
)

// ErrBackup means that something is no backup, or not a complete one.
var ErrBackup = errors.New("the backup cannot be used")

// BackupInfo describes a backup.
type BackupInfo struct {
	CreatedAt time.Time `json:"created_at"`
	LastEvent queue.ID  `json:"last_event"` // every event up to this one that was stored at CreatedAt is in it
	Encrypted bool      `json:"encrypted"`
	Events    uint64    `json:"events"`
	Rows      uint64    `json:"rows"`
	Damaged   uint64    `json:"damaged"` // events that could not be read; they are in it as they were
	Bytes     int64     `json:"bytes"`   // of the backup
}

// archiveWriter writes a backup.
type archiveWriter struct {
	w      *bufio.Writer
	info   BackupInfo
	aead   cipher.AEAD // nil: not encrypted
	header []byte
	number uint64
	chunk  []byte
}

func newArchiveWriter(w io.Writer, key []byte, created time.Time, last uint64) (*archiveWriter, error) {
	a := &archiveWriter{w: bufio.NewWriterSize(w, 256<<10)}
	a.info = BackupInfo{CreatedAt: created.UTC(), LastEvent: queue.ID(last), Encrypted: len(key) > 0}
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, fmt.Errorf("random salt: %w", err)
	}
	flags := uint32(0)
	if a.info.Encrypted {
		flags = archiveSealed
		var err error
		if a.aead, err = deriveAEAD(key, salt[:], "sluice backup"); err != nil {
			return nil, err
		}
	}
	h := be.AppendUint32(be.AppendUint32([]byte(archiveMagic), formatVersion), flags)
	h = be.AppendUint64(be.AppendUint64(h, uint64(created.UnixNano())), last)
	h = append(h, salt[:]...)
	a.header = be.AppendUint32(h, crc32.Checksum(h, castagnoli))
	return a, a.write(a.header)
}

func (a *archiveWriter) write(b []byte) error {
	n, err := a.w.Write(b)
	a.info.Bytes += int64(n)
	return err
}

// row adds a row.
func (a *archiveWriter) row(key, value []byte) error {
	a.info.Rows++
	e := encoder{b: a.chunk}
	e.bytes(key)
	e.bytes(value)
	a.chunk = e.b
	if len(a.chunk) < chunkSize {
		return nil
	}
	return a.flush()
}

func (a *archiveWriter) flush() error {
	if len(a.chunk) == 0 {
		return nil
	}
	payload := a.chunk
	if a.aead != nil {
		payload = a.aead.Seal(nil, frameNonce(a.number), payload, a.header)
	}
	a.chunk = a.chunk[:0]
	return a.put(chunkRows, payload)
}

func (a *archiveWriter) put(kind uint32, payload []byte) error {
	head := be.AppendUint32(be.AppendUint32(nil, uint32(len(payload))), kind)
	head = be.AppendUint32(head, chunkSum(a.number, kind, payload))
	a.number++
	if err := a.write(head); err != nil {
		return err
	}
	return a.write(payload)
}

func chunkSum(number uint64, kind uint32, payload []byte) uint32 {
	seed := be.AppendUint32(be.AppendUint64(nil, number), kind)
	return crc32.Update(crc32.Checksum(seed, castagnoli), castagnoli, payload)
}

// end completes the backup.
func (a *archiveWriter) end() (BackupInfo, error) {
	if err := a.flush(); err != nil {
		return a.info, err
	}
	tail := be.AppendUint64(be.AppendUint64(be.AppendUint64(nil, a.info.Rows), a.info.Events), a.info.Damaged)
	if a.aead != nil {
		tail = a.aead.Seal(tail, frameNonce(a.number), nil, append(a.header[:archiveHeader:archiveHeader], tail...))
	}
	if err := a.put(chunkEnd, tail); err != nil {
		return a.info, err
	}
	return a.info, a.w.Flush()
}

// archiveReader reads a backup.
type archiveReader struct {
	r      *bufio.Reader
	info   BackupInfo
	format uint32
	salt   []byte
	aead   cipher.AEAD
	header []byte
	number uint64
}

func newArchiveReader(r io.Reader) (*archiveReader, error) {
	a := &archiveReader{r: bufio.NewReaderSize(r, 256<<10), header: make([]byte, archiveHeader)}
	if _, err := io.ReadFull(a.r, a.header); err != nil {
		return nil, fmt.Errorf("%w: it ends within its header: %w", ErrBackup, err)
	}
	h := a.header
	if string(h[:8]) != archiveMagic {
		return nil, fmt.Errorf("%w: it does not begin as a backup of Sluice does", ErrBackup)
	}
	if crc32.Checksum(h[:archiveHeader-4], castagnoli) != be.Uint32(h[archiveHeader-4:]) {
		return nil, fmt.Errorf("%w: its header does not match its checksum", ErrBackup)
	}
	a.format = be.Uint32(h[8:])
	a.info = BackupInfo{
		CreatedAt: time.Unix(0, int64(be.Uint64(h[16:]))).UTC(), LastEvent: queue.ID(be.Uint64(h[24:])),
		Encrypted: be.Uint32(h[12:])&archiveSealed != 0, Bytes: archiveHeader,
	}
	a.salt = h[32:48]
	return a, nil
}

// unlock sets the key.
func (a *archiveReader) unlock(key []byte) (err error) {
	switch {
	case a.info.Encrypted && len(key) == 0:
		return fmt.Errorf("%w: the backup is encrypted, and no key was given", ErrKey)
	case a.info.Encrypted:
		a.aead, err = deriveAEAD(key, a.salt, "sluice backup")
	}
	return err
}

// next returns the next chunk after checking its checksum.
func (a *archiveReader) next() (kind uint32, payload []byte, err error) {
	var head [chunkHeader]byte
	if _, err := io.ReadFull(a.r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("%w: it is cut short after %d bytes: %w", ErrBackup, a.info.Bytes, err)
	}
	n, kind := be.Uint32(head[:]), be.Uint32(head[4:])
	if n > maxChunk || kind != chunkRows && kind != chunkEnd {
		return 0, nil, fmt.Errorf("%w: what is at byte %d is no part of a backup", ErrBackup, a.info.Bytes)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(a.r, payload); err != nil {
		return 0, nil, fmt.Errorf("%w: it is cut short after %d bytes: %w", ErrBackup, a.info.Bytes, err)
	}
	if chunkSum(a.number, kind, payload) != be.Uint32(head[8:]) {
		return 0, nil, fmt.Errorf("%w: what is at byte %d does not match its checksum", ErrBackup, a.info.Bytes)
	}
	a.number++
	a.info.Bytes += int64(n) + chunkHeader
	return kind, payload, nil
}

// open decrypts the payload of the chunk that was read last.
func (a *archiveReader) open(payload []byte) ([]byte, error) {
	if a.aead == nil {
		return payload, nil
	}
	plain, err := a.aead.Open(payload[:0], frameNonce(a.number-1), payload, a.header)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not the one the backup was made with", ErrKey)
	}
	return plain, nil
}

// end reads the last chunk, and that nothing comes after it.
func (a *archiveReader) end(payload []byte) error {
	if len(payload) < archiveTail {
		return fmt.Errorf("%w: its end is too short", ErrBackup)
	}
	tail := payload[:archiveTail:archiveTail]
	if a.aead != nil {
		if _, err := a.aead.Open(nil, frameNonce(a.number-1), payload[archiveTail:], append(a.header[:archiveHeader:archiveHeader], tail...)); err != nil {
			return fmt.Errorf("%w: its end was changed", ErrBackup)
		}
	}
	a.info.Rows, a.info.Events, a.info.Damaged = be.Uint64(tail), be.Uint64(tail[8:]), be.Uint64(tail[16:])
	if _, err := a.r.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%w: there is something behind its end", ErrBackup), err)
	}
	return nil
}

// VerifyBackup reads a backup to its end and checks that it is complete and unchanged, as far as that can be told without the key of an encrypted one.
func VerifyBackup(r io.Reader) (BackupInfo, error) {
	a, err := newArchiveReader(r)
	if err != nil {
		return BackupInfo{}, err
	}
	for {
		kind, payload, err := a.next()
		if err != nil {
			return a.info, err
		}
		if kind == chunkEnd {
			return a.info, a.end(payload)
		}
	}
}
