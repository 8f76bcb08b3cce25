/** Apache Kafka, one node; tools/install-servers.sh fetches its jars. */
export {
  startTestKafka as startKafka,
  type TestKafka as KafkaServer,
} from '@gatehouse/kit/testing';
