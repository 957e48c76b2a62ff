package dragontest

import (
	"net/http"
	"time"
)

type Image struct{}

func (d *Dragon) install(time.Time)                                     {}
func (d *Dragon) serveUpload(w http.ResponseWriter, r *http.Request)    {}
func (d *Dragon) serveDownload(w http.ResponseWriter, r *http.Request)  {}
func (d *Dragon) serveLogStream(w http.ResponseWriter, r *http.Request) {}

type StrangerKind string
type Stranger struct{ host }

func newStranger(StrangerKind) *Stranger { return nil }
