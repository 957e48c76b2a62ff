package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/version"
)

// The layout of the keys, in bbolt's one bucket and in etcd below a site's prefix. The
// seal has the same key and fields in every format, so that an older program can say which
// version wrote the state.
const (
	format = 2

	keySeal    = "seal"
	keyFleet   = "fleet"
	prefixHot  = "dragon/"
	prefixCold = "cold/"

	recordHeader = 16 // generation and checksum, big endian
)

// ErrNewer says that a newer version of the program wrote the state. See NewerError.
var ErrNewer = errors.New("written by a newer version")

// NewerError is the error for the state of a newer program, which is never moved aside.
type NewerError struct {
	Format    int
	WrittenBy string // the version of the program
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("written by mother-of-dragons %s in format %d; this is %s, which knows format %d: start the newer version again, or "+
		"restore a backup from before the upgrade",
		e.WrittenBy, e.Format, programVersion(), format)
}

// Is makes a NewerError an ErrNewer.
func (e *NewerError) Is(target error) bool { return target == ErrNewer }

func programVersion() string {
	if version.Version == "" {
		return "(unknown version)"
	}
	return version.Version
}

// seal covers all records. It detects a missing record, and an old one in place of a new
// one, whose own checksum is right.
type seal struct {
	Format     int    `json:"format"`
	WrittenBy  string `json:"written_by"`
	Generation uint64 `json:"generation"` // commits since the state began
	Records    int    `json:"records"`
	Digest     uint64 `json:"digest,string"` // the sum of the records' checksums
}

// checksum covers a record's key, generation and value. It is the first part of a SHA-256.
func checksum(key string, generation uint64, data []byte) uint64 {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, uint64(len(key)))
	_, _ = h.Write([]byte(key))
	_ = binary.Write(h, binary.BigEndian, generation)
	_, _ = h.Write(data)
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// encode puts the generation and the checksum before a record.
func encode(key string, generation uint64, data []byte) []byte {
	v := make([]byte, 0, recordHeader+len(data))
	v = binary.BigEndian.AppendUint64(v, generation)
	v = binary.BigEndian.AppendUint64(v, checksum(key, generation, data))
	return append(v, data...)
}

func decode(key string, v []byte, newest uint64) (data []byte, err error) {
	if len(v) < recordHeader {
		return nil, corrupt("record %q: %d bytes", key, len(v))
	}
	generation, sum := binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])
	data = v[recordHeader:]
	if checksum(key, generation, data) != sum {
		return nil, corrupt("record %q: its checksum is wrong", key)
	}
	if generation > newest {
		return nil, corrupt("record %q: generation %d, expected at most %d", key, generation, newest)
	}
	return data, nil
}

// sumOf is the checksum of a stored record; 0: none.
func sumOf(v []byte) uint64 {
	if len(v) < recordHeader {
		return 0
	}
	return binary.BigEndian.Uint64(v[8:])
}

func decodeSeal(v []byte) (seal, error) {
	if v == nil {
		return seal{}, corrupt("it has no seal")
	}
	data, err := decode(keySeal, v, ^uint64(0))
	if err != nil {
		return seal{}, err
	}
	var s seal
	if err := json.Unmarshal(data, &s); err != nil {
		return seal{}, corrupt("its seal: %v", err)
	}
	if s.Format > format {
		return seal{}, &NewerError{s.Format, s.WrittenBy}
	}
	return s, nil
}

func (s *seal) encode() ([]byte, error) {
	s.Format, s.WrittenBy = format, programVersion()
	data, err := json.Marshal(s)
	return encode(keySeal, s.Generation, data), err
}

// add updates the sum for a change of a record from one stored value to another; nil:
// none.
func (s *seal) add(old, next []byte) {
	if old != nil {
		s.Records, s.Digest = s.Records-1, s.Digest-sumOf(old)
	}
	if next != nil {
		s.Records, s.Digest = s.Records+1, s.Digest+sumOf(next)
	}
}

// unseal decodes all stored values, which must match the seal.
func unseal(content map[string][]byte) (Records, seal, error) {
	s, err := decodeSeal(content[keySeal])
	if err != nil {
		return Records{}, seal{}, err
	}
	r, found := NewRecords(), seal{}
	for key, v := range content {
		if key == keySeal {
			continue
		}
		data, err := decode(key, v, s.Generation)
		if err != nil {
			return Records{}, seal{}, err
		}
		if !r.put(key, data) {
			return Records{}, seal{}, corrupt("a record %q", key)
		}
		found.add(nil, v)
	}
	switch {
	case found.Records != s.Records:
		return Records{}, seal{}, corrupt("%d records, expected %d", found.Records, s.Records)
	case found.Digest != s.Digest:
		return Records{}, seal{}, corrupt("its records are not those of generation %d", s.Generation)
	case r.Fleet == nil && len(r.Dragons)+len(r.Cold) > 0:
		return Records{}, seal{}, corrupt("%d dragons and no record of the fleet", len(r.Dragons))
	}
	return r, s, nil
}

func (r *Records) put(key string, data []byte) bool {
	if key == keyFleet {
		r.Fleet = data
		return true
	}
	if mac, ok := strings.CutPrefix(key, prefixHot); ok {
		r.Dragons[mac] = data
		return true
	}
	mac, ok := strings.CutPrefix(key, prefixCold)
	if ok {
		r.Cold[mac] = data
	}
	return ok
}

// changes calls fn with each record, in the order of the keys; nil data deletes the
// record.
func (r *Records) changes(fn func(key string, data []byte) error) error {
	for _, part := range []struct {
		prefix  string
		records map[string][]byte
	}{{prefixCold, r.Cold}, {prefixHot, r.Dragons}} {
		for _, mac := range slices.Sorted(maps.Keys(part.records)) {
			if err := fn(part.prefix+mac, part.records[mac]); err != nil {
				return err
			}
		}
	}
	if r.Fleet == nil {
		return nil
	}
	return fn(keyFleet, r.Fleet)
}

// The layout of format 1 (program 0.1.0): two buckets, and a CRC-32C before each value.
const (
	bucketFleet1   = "fleet"
	bucketDragons1 = "dragons"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unseal1 decodes a state in format 1.
func unseal1(buckets map[string]map[string][]byte) (Records, error) {
	r := NewRecords()
	open := func(key string, v []byte) ([]byte, error) {
		if len(v) < 4 || binary.BigEndian.Uint32(v) != crc32.Checksum(v[4:], castagnoli) {
			return nil, corrupt("record %q: its checksum is wrong", key)
		}
		return v[4:], nil
	}
	var err error
	for key, v := range buckets[bucketFleet1] {
		if key != keyFleet {
			return Records{}, corrupt("a record %q", key)
		}
		if r.Fleet, err = open(key, v); err != nil {
			return Records{}, err
		}
	}
	for mac, v := range buckets[bucketDragons1] {
		if r.Dragons[mac], err = open(mac, v); err != nil {
			return Records{}, err
		}
	}
	if r.Fleet == nil && len(r.Dragons) > 0 {
		return Records{}, corrupt("%d dragons and no record of the fleet", len(r.Dragons))
	}
	return r, nil
}
