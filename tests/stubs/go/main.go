// A client of Hone with the stubs that protoc-gen-go and protoc-gen-go-grpc make of proto/hone/v1: submits a job, watches it to its
// end, downloads its model, and prints what became of it as one JSON object.
//
//	client ADDRESS FOLDER
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	honev1 "hone/v1"
)

func spec() *honev1.JobSpec {
	dense := func(units int64, activation honev1.Activation_Kind) *honev1.Layer {
		return &honev1.Layer{Kind: &honev1.Layer_Dense{Dense: &honev1.Dense{Units: units, Activation: activation}}}
	}
	return &honev1.JobSpec{
		DisplayName: "from Go",
		Task:        &honev1.JobSpec_Classification{Classification: &honev1.Classification{}},
		Data:        &honev1.DataSpec{Dataset: "wine"},
		Model:       &honev1.ModelSpec{Layers: []*honev1.Layer{dense(8, honev1.Activation_RELU), dense(3, honev1.Activation_LINEAR)}},
		Training: &honev1.TrainingSpec{
			Epochs: 2, Seed: proto.Uint64(7), Precision: honev1.TrainingSpec_F32},
	}
}

// The events until the job has ended, and the state that the last one tells.
func watch(ctx context.Context, training honev1.TrainingServiceClient, name string) (int, honev1.Job_State, error) {
	stream, err := training.WatchJob(ctx, &honev1.WatchJobRequest{Name: name})
	if err != nil {
		return 0, 0, err
	}
	events, state := 0, honev1.Job_STATE_UNSPECIFIED
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return events, state, nil
		}
		if err != nil {
			return events, state, err
		}
		if event := answer.GetEvent(); event != nil {
			events++
			if change := event.GetState(); change != nil {
				state = change.GetState()
			}
		}
	}
}

// Writes the model's files below the folder; how many there were, each with the SHA-256 that the server says.
func download(ctx context.Context, models honev1.ModelServiceClient, name, folder string) (int, error) {
	stream, err := models.DownloadModel(ctx, &honev1.DownloadModelRequest{Name: name})
	if err != nil {
		return 0, err
	}
	bytes, sums := map[string][]byte{}, map[string]string{}
	path := ""
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if file := chunk.GetFile(); file != nil {
			path = file.GetPath()
			sums[path] = file.GetSha256()
		}
		bytes[path] = append(bytes[path], chunk.GetData()...)
	}
	for path, data := range bytes {
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != sums[path] {
			return 0, fmt.Errorf("%s is not what the server says", path)
		}
		target := filepath.Join(folder, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return 0, err
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			return 0, err
		}
	}
	return len(bytes), nil
}

// Of an error's google.rpc.ErrorInfo.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetDomain() + "/" + info.GetReason()
		}
	}
	return ""
}

func run(address, folder string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	training, models := honev1.NewTrainingServiceClient(connection), honev1.NewModelServiceClient(connection)
	created, err := training.CreateJob(ctx, &honev1.CreateJobRequest{Spec: spec(), RequestId: "from-go"})
	if err != nil {
		return nil, err
	}
	events, state, err := watch(ctx, training, created.GetName())
	if err != nil {
		return nil, err
	}
	job, err := training.GetJob(ctx, &honev1.GetJobRequest{Name: created.GetName()})
	if err != nil {
		return nil, err
	}
	files, err := download(ctx, models, job.GetModel(), folder)
	if err != nil {
		return nil, err
	}
	_, refused := training.GetJob(ctx, &honev1.GetJobRequest{Name: "jobs/nobody"})
	return map[string]any{
		"state": state.String(), "events": events, "last_sequence": job.GetLastSequence(), "files": files,
		"batch_size": job.GetResolvedSpec().GetTraining().GetBatchSize(), "reason": reason(refused)}, nil
}

func main() {
	result, err := run(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}
