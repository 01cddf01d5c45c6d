package rpc

import (
	"context"
	"errors"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/store"
)

// StatTask answers with what the task's scheduler knows of it.
func (s *Socket) StatTask(ctx context.Context, m *dfdaemonv2.StatTaskRequest) (*commonv2.Task, error) {
	id, err := taskOf(m.GetTaskId())
	if err != nil {
		return nil, wire.Status(err)
	}
	t, err := s.cfg.Swarm.StatTask(ctx, id)
	return t, wire.Status(err)
}

// StatLocalTask answers with what this host holds of a task.
func (s *Socket) StatLocalTask(_ context.Context, m *dfdaemonv2.StatLocalTaskRequest) (*dfdaemonv2.StatLocalTaskResponse, error) {
	id, err := taskOf(m.GetTaskId())
	if err != nil {
		return nil, wire.Status(err)
	}
	t, err := s.cfg.Store.Open(id)
	if err != nil {
		return nil, wire.Status(err)
	}
	return localTask(t.Info(), s.cfg.Served), nil
}

// ListLocalTasks answers with everything this host holds, by id.
func (s *Socket) ListLocalTasks(context.Context, *dfdaemonv2.ListLocalTasksRequest) (*dfdaemonv2.ListLocalTasksResponse, error) {
	out := &dfdaemonv2.ListLocalTasksResponse{}
	for _, info := range s.cfg.Store.List() {
		out.Tasks = append(out.Tasks, localTask(info, s.cfg.Served))
	}
	return out, nil
}

// localTask writes what is held of a task. Its URL is not among it: any local user may ask.
func localTask(info store.Info, served func(darter.TaskID) (now, total uint64)) *dfdaemonv2.StatLocalTaskResponse {
	length, piece := uint64(max(info.Layout.Length, 0)), uint64(max(info.Layout.PieceLength, 0))
	m := &dfdaemonv2.StatLocalTaskResponse{
		TaskId: string(info.ID), PieceLength: &piece, ContentLength: &length, ResponseHeader: info.Header,
		CreatedAt: wire.FromTime(info.Created), UpdatedAt: wire.FromTime(info.LastRead),
	}
	if served != nil {
		m.UploadingCount, m.UploadedCount = served(info.ID)
	}
	if info.LastRead.Before(info.Created) {
		m.UpdatedAt = m.GetCreatedAt()
	}
	if info.State == store.Complete {
		m.FinishedAt = wire.FromTime(info.Finished)
	}
	return m
}

// DeleteTask withdraws a task from its scheduler, then deletes it here. A scheduler that cannot be reached does not keep
// the content alive: it hears of the loss when a child finds nothing.
func (s *Socket) DeleteTask(ctx context.Context, m *dfdaemonv2.DeleteTaskRequest) (*emptypb.Empty, error) {
	return s.remove(ctx, "DeleteTask", m.GetTaskId())
}

// DeleteLocalTask does the same as DeleteTask: content that is offered to others is never deleted behind the
// scheduler's back.
func (s *Socket) DeleteLocalTask(ctx context.Context, m *dfdaemonv2.DeleteLocalTaskRequest) (*emptypb.Empty, error) {
	return s.remove(ctx, "DeleteLocalTask", m.GetTaskId())
}

func (s *Socket) remove(ctx context.Context, method, text string) (*emptypb.Empty, error) {
	id, err := taskOf(text)
	if err == nil {
		err = s.permit(ctx, method, "delete content", "ask the user that the daemon runs as, or root")
	}
	if err == nil {
		_, err = s.cfg.Store.Open(id)
	}
	if err != nil {
		return nil, wire.Status(err)
	}
	if err := s.cfg.Swarm.DeleteTask(ctx, id); err != nil && !worthResting(err) {
		return nil, wire.Status(err)
	}
	if err := s.cfg.Store.Remove(id); err != nil {
		return nil, wire.Status(err)
	}
	return &emptypb.Empty{}, nil
}

// DeleteHost takes this host out of the swarms: every scheduler is told that it leaves. It comes back with its next
// announcement.
func (s *Socket) DeleteHost(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	if err := s.permit(ctx, "DeleteHost", "take the host out of the swarms", "ask the user that the daemon runs as, or root"); err != nil {
		return nil, wire.Status(err)
	}
	if err := s.cfg.Swarm.Leave(ctx, s.cfg.Host, s.cfg.Epoch); err != nil {
		return nil, wire.Status(err)
	}
	return &emptypb.Empty{}, nil
}

func taskOf(text string) (darter.TaskID, error) {
	id := darter.TaskID(text)
	if !id.Valid() {
		return "", &darter.Error{Kind: darter.Invalid, Op: "read task id", Err: errors.New("it is not 64 lower-case hexadecimal digits")}
	}
	return id, nil
}
