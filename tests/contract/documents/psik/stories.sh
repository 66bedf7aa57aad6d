# The document's own lines, but for the host ($HOST) and for the closing quotes that two of its URLs lack.

story_1() {
curl -X POST \
http://$HOST/v1/jobs \
-H 'accept: application/json' \
-H 'Content-Type: application/json' \
-d '{
"name": "show system info",
"script": "cat /proc/cpuinfo; cat /proc/meminfo; rocm-smi; echo $nodes; $mpirun hostname",
"resources": {
"process_count": 8,
"cpu_cores_per_process": 7,
"duration": 2,
"gpu_cores_per_process": 1
}
}'
}

story_1_list() {
curl -X GET \
"http://$HOST/v1/jobs" \
-H 'accept: application/json'
}

story_1_logs() {
curl -X GET \
"http://$HOST/v1/jobs/$JOBID/logs" \
-H 'accept: application/json'
}

story_2_new() {
curl -X POST \
http://$HOST/v1/jobs/new \
-H 'accept: application/json' \
-H 'Content-Type: application/json' \
-d '{
"script": "cat data.txt",
}'
}

story_2_upload() {
curl -X POST \
"http://$HOST/v1/jobs/$JOBID/files/" \
-H 'accept: application/json' \
--upload-file data.txt
}

story_2_start() {
curl -X POST \
"http://$HOST/v1/jobs/$JOBID/start" \
-H 'accept: application/json'
}
