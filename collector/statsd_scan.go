package collector

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// scanned is what lines are made of in one /api/summary: the values of the known fields, as
// the device wrote them. They are parts of the body.
type scanned struct {
	hardware      [][]byte
	boards, pools rowSet
}

// rowSet holds the values of several objects of one table, nil where a field is not there.
type rowSet struct {
	table  *lineTable
	values [][]byte
}

func (r *rowSet) all() iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		for n := len(r.table.names); len(r.values) >= n; r.values = r.values[n:] {
			if !yield(r.values[:n]) {
				return
			}
		}
	}
}

func (r *rowSet) add() (row [][]byte) {
	n := len(r.values)
	r.values = append(r.values, make([][]byte, len(r.table.names))...)
	return r.values[n:]
}

// summaryScanner walks through a body once.
type summaryScanner struct {
	body []byte
	dec  *jsontext.Decoder
}

// scanSummary finds the values in the first JSON value of a body, which must be an object.
// Of a key that comes twice the last one counts.
func scanSummary(body []byte) (*scanned, error) {
	s := &summaryScanner{body, jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
	if kind := s.dec.PeekKind(); kind != '{' {
		if _, err := s.dec.ReadToken(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("expected an object, got %s", kind)
	}
	found := &scanned{hardware: make([][]byte, len(hardwareLines.names)), boards: rowSet{table: boardLines}, pools: rowSet{table: poolLines}}
	return found, s.members(func(key []byte) error {
		switch string(key) {
		case "HARDWARE":
			clear(found.hardware)
			return s.pick(hardwareLines, found.hardware)
		case "DEVS":
			return s.rows(&found.boards)
		case "POOLS":
			return s.rows(&found.pools)
		}
		return s.dec.SkipValue()
	})
}

// members calls each with every key of the object that comes next; each reads the value.
func (s *summaryScanner) members(each func(key []byte) error) error {
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() == '"' {
		key, err := s.value()
		if err != nil {
			return err
		}
		if bytes.IndexByte(key, '\\') >= 0 {
			key, _ = jsontext.AppendUnquote(nil, key) // invalid UTF-8 is an error here, and leaves the text
		} else {
			key = key[1 : len(key)-1]
		}
		if err := each(key); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken() // the end of the object, or what is wrong
	return err
}

// value reads the next value. It is a part of the body.
func (s *summaryScanner) value() ([]byte, error) {
	v, err := s.dec.ReadValue()
	end := s.dec.InputOffset()
	return s.body[end-int64(len(v)) : end], err
}

// pick reads the next value and puts the values of its known fields into row. A value that is
// no object has none: PHP writes an empty object as [].
func (s *summaryScanner) pick(t *lineTable, row [][]byte) error {
	if s.dec.PeekKind() != '{' {
		return s.dec.SkipValue()
	}
	return s.members(func(key []byte) (err error) {
		i, known := t.fields[string(key)]
		if !known {
			return s.dec.SkipValue()
		}
		row[i], err = s.value()
		return err
	})
}

// rows reads the next value, a list of objects. PHP writes a list that lost an element as an
// object.
func (s *summaryScanner) rows(r *rowSet) error {
	r.values = r.values[:0]
	n := 0
	one := func() error {
		if n++; n > maxItems {
			return s.dec.SkipValue()
		}
		return s.pick(r.table, r.add())
	}
	switch s.dec.PeekKind() {
	case '{':
		return s.members(func([]byte) error { return one() })
	case '[':
		if _, err := s.dec.ReadToken(); err != nil {
			return err
		}
		for k := s.dec.PeekKind(); k != ']' && k != 0; k = s.dec.PeekKind() {
			if err := one(); err != nil {
				return err
			}
		}
		_, err := s.dec.ReadToken()
		return err
	}
	return s.dec.SkipValue()
}
